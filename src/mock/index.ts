export { type Delivery, type Fault, type FaultRule, parseFault } from "./faults.js";
export { createMock, type Mock } from "./mock.js";
export { type RunningMock, startMock } from "./server.js";
export type { MockAnswer, MockExchange, MockOptions, MockProblem, MockRequest } from "./types.js";
