// What the other scripts share: running programs, installing the npm packages, building. Plain Node, no packages.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("..", import.meta.url));

/** Runs a program in the repository's root with our terminal; resolves to its exit code (1 when it was killed). */
export function run(command, args, env = {}) {
  return new Promise((done) => {
    const child = spawn(command, args, { cwd: root, stdio: "inherit", env: { ...process.env, ...env } });
    child.on("error", (error) => {
      console.error(`${command}: ${error.message}`);
      done(1);
    });
    child.on("close", (code) => done(code ?? 1));
  });
}

/** Runs npm: the one that runs this script, else the one on the PATH. */
export function npm(...args) {
  const own = process.env.npm_execpath;
  if (own?.endsWith(".js")) return run(process.execPath, [own, ...args]);
  return process.platform === "win32" ? run("cmd", ["/c", "npm", ...args]) : run("npm", args);
}

/** Runs a program of an npm package by its script. */
export const tool = (script, ...args) => run(process.execPath, [join(root, "node_modules", script), ...args]);

export function checkNode() {
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major > 20 || (major === 20 && minor >= 19)) return;
  console.error(`Node 20.19 or newer is needed; this is ${process.versions.node}.`);
  process.exit(1);
}

/** `npm ci`, unless the installed packages are those of the lock file. */
export async function installPackages() {
  const stamp = join(root, "node_modules", ".specdojo-lock");
  const lock = await readFile(join(root, "package-lock.json"), "utf8");
  const hash = createHash("sha256").update(lock).digest("hex");
  const stamped = await readFile(stamp, "utf8").catch(() => "");
  if (stamped === hash) return 0;
  if (!(await isInstalled(JSON.parse(lock)))) {
    console.log("Installing the npm packages.");
    const code = await npm("ci", "--no-audit", "--no-fund");
    if (code !== 0) {
      console.error(
        "The npm packages could not be installed. Check the network, then run the same command again.",
      );
      return code;
    }
  }
  await writeFile(stamp, hash);
  return 0;
}

/** Whether npm's own record of node_modules has every package of the lock file (others' platforms apart). */
async function isInstalled(lock) {
  const text = await readFile(join(root, "node_modules", ".package-lock.json"), "utf8").catch(
    () => undefined,
  );
  if (text === undefined) return false;
  const installed = JSON.parse(text).packages;
  return Object.entries(lock.packages).every(([path, { version, optional, link }]) => {
    if (path === "" || link) return true;
    return installed[path] === undefined ? optional === true : installed[path].version === version;
  });
}

/** Compiles, unless nothing has changed since the last time. `force` compiles in any case. */
export async function build(force = false) {
  const stamp = join(root, "dist", ".specdojo-sources");
  const hash = await hashSources();
  if (
    !force &&
    existsSync(join(root, "dist", "cli.js")) &&
    (await readFile(stamp, "utf8").catch(() => "")) === hash
  )
    return 0;
  console.log("Building.");
  const code = await npm("run", "--silent", "build");
  if (code === 0) {
    await mkdir(dirname(stamp), { recursive: true });
    await writeFile(stamp, hash);
  }
  return code;
}

async function hashSources() {
  const hash = createHash("sha256");
  const add = async (path) => {
    const info = await stat(path).catch(() => undefined);
    if (info?.isDirectory()) for (const name of (await readdir(path)).sort()) await add(join(path, name));
    else if (info !== undefined) hash.update(`${path} ${info.size} ${info.mtimeMs}\n`);
  };
  for (const name of ["src", "adapters", "package-lock.json", "tsconfig.json", "tsconfig.build.json"])
    await add(join(root, name));
  return hash.digest("hex");
}
