// One way of turning a document into tools, in a process of its own: node bench/ingest/child.mjs WAY FILE
// Prints {"tools", "cpu", "rss"}: processor seconds since the start of the process, and its largest memory in MiB.
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";

const [way, file] = process.argv.slice(2);
const peers = createRequire(join(process.env.SPECDOJO_PEERS ?? process.cwd(), "package.json"));
const peer = (name) => import(pathToFileURL(peers.resolve(name)).href);
// The two functions and nothing else of the library, as a program that wants tools has them.
const own = async () => ({
  ...(await import("../../dist/openapi/load.js")),
  ...(await import("../../dist/openapi/menu.js")),
});

// Its entry is a command that starts at once.
const generator = () =>
  import(pathToFileURL(join(dirname(peers.resolve("openapi-mcp-generator")), "api.js")).href);

const ways = {
  async specdojo() {
    const { loadOpenApi, buildToolMenu } = await own();
    return buildToolMenu(await loadOpenApi(file)).tools.length;
  },
  async "specdojo, not validated"() {
    const { loadOpenApi, buildToolMenu } = await own();
    return buildToolMenu(await loadOpenApi(file, { validate: false })).tools.length;
  },
  async "swagger-parser"() {
    const { default: SwaggerParser } = await peer("@apidevtools/swagger-parser");
    const { paths } = await SwaggerParser.validate(file);
    return Object.keys(paths).length;
  },
  async "openapi-mcp-generator"() {
    const { getToolsFromOpenApi } = await generator();
    return (await getToolsFromOpenApi(file)).length;
  },
  async "openapi-mcp-generator, dereferenced"() {
    const { getToolsFromOpenApi } = await generator();
    return (await getToolsFromOpenApi(file, { dereference: true })).length;
  },
  async "@ivotoby/openapi-mcp-server"() {
    const { OpenAPISpecLoader } = await peer("@ivotoby/openapi-mcp-server");
    const loader = new OpenAPISpecLoader();
    return loader.parseOpenAPISpec(await loader.loadOpenAPISpec(file, "file")).size;
  },
};

let tools = 0;
let fault;
try {
  tools = await ways[way]();
} catch (error) {
  fault = String(error?.message ?? error)
    .split("\n")[0]
    .slice(0, 80);
}
const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage();
process.stdout.write(
  `${JSON.stringify({ tools, cpu: (userCPUTime + systemCPUTime) / 1e6, rss: maxRSS / 1024, fault })}\n`,
);
process.exit();
