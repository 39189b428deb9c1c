import { SpecdojoError } from "../util/errors.js";
import { runProcess } from "./process.js";
import { packagedWorkerDir } from "./worker.js";

/**
 * Adds a LoRA adapter to its base model, for servers whose checkpoints hold the adapter alone: writes the folder `out`
 * with the merged weights. `base` and `adapter` are folders; `python` has the worker's packages.
 * @throws SpecdojoError `archive-invalid` where the adapter does not fit the base.
 */
export async function mergeAdapter(options: {
  python: string;
  base: string;
  adapter: string;
  out: string;
  signal?: AbortSignal;
}): Promise<void> {
  const { python, base, adapter, out, signal } = options;
  const { code, tail } = await runProcess(python, ["-m", "specdojo_worker.merge", base, adapter, out], {
    env: { ...process.env, PYTHONPATH: packagedWorkerDir(), PYTHONSAFEPATH: "1" },
    signal,
  });
  if (code === 0) return;
  throw new SpecdojoError("archive-invalid", `The adapter could not be added to its base model.\n${tail}`, {
    place: adapter,
    remedy: `Check that ${base} is the model that was trained.`,
  });
}
