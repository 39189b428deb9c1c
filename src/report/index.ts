export {
  type MetricLine,
  metricLineSchema,
  type ReportData,
  reportDataSchema,
  type TrainingSample,
  trainingSampleSchema,
} from "./data.js";
export { loadReportData } from "./load.js";
export { renderReport } from "./render.js";
