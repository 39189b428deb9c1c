/** Where an exported agent keeps its solver as GGUF, relative to its folder. */
export const ggufFile = "gguf/model.gguf";
