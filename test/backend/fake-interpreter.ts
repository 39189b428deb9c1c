import { chmod, writeFile } from "node:fs/promises";
import { join } from "node:path";

export interface FakePython {
  version?: string;
  /** Whether `venv` is there. */
  venv?: boolean;
  /** Installed packages by name. */
  packages?: Record<string, string>;
  /** What `pip install` writes and how it ends; default: success after a moment. */
  pip?: { stderr: string; code: number };
  /** What the worker's probe writes; default: nothing, and it fails. */
  runtime?: Record<string, unknown>;
}

/** A program that behaves as Python (or uv) does when an environment is made, and writes its calls into `calls`. */
export async function fakePython(dir: string, name: string, options: FakePython = {}): Promise<string> {
  const file = join(dir, name);
  const program = `
    const fs = require("node:fs"), path = require("node:path");
    const options = ${JSON.stringify(options)};
    const args = process.argv.slice(2);
    const self = process.env.FAKE_SELF;
    fs.appendFileSync(${JSON.stringify(join(dir, "calls"))}, [path.basename(self), ...args.filter((arg) => arg !== "-c" && !arg.includes("\\n"))].join(" ") + "\\n");
    const makeEnvironment = (folder) => {
      fs.mkdirSync(path.join(folder, "bin"), { recursive: true });
      fs.copyFileSync(${JSON.stringify(file)}, path.join(folder, "bin", "python"));
    };
    const install = () => {
      const pip = options.pip;
      console.log("Collecting torch==2.13.0");
      if (pip) { console.error(pip.stderr); process.exit(pip.code); }
      setTimeout(() => {}, 300);
    };
    if (args[0] === "--version") console.log("uv 1.0");
    else if (args[0] === "venv") makeEnvironment(args.at(-1));
    else if (args[0] === "pip") install();
    else if (args[1] === "venv") makeEnvironment(args[2]);
    else if (args[1] === "pip") install();
    else if (args[0] === "-c" && args[1].includes("specdojo_worker")) {
      if (!options.runtime) { console.error("ImportError: libtorch.so"); process.exit(1); }
      console.log(JSON.stringify(options.runtime));
    } else if (args.length === 2) console.log(JSON.stringify({ path: self, file: self, version: options.version ?? "3.12.1", canMakeEnvironments: options.venv ?? true }));
    else console.log(JSON.stringify(Object.fromEntries(args.slice(2).map((name) => [name, options.packages?.[name] ?? null]))));
  `;
  await writeFile(`${file}.cjs`, program);
  await writeFile(file, `#!/bin/sh\nFAKE_SELF="$0" exec "${process.execPath}" "${file}.cjs" "$@"\n`);
  await chmod(file, 0o755);
  return file;
}
