/** Every tidy rule fails on what it is there to find, and is content with what it is not. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import {
  importDirections,
  manifestDirections,
  rooms,
  undeclaredImports,
} from "./tidy/direction-rules.ts";
import { brokenLinks, deadFiles, lockGaps, registryHosts } from "./tidy/project-rules.ts";
import type { SourceFile } from "./tidy/source-files.ts";
import { importsOf, root } from "./tidy/source-files.ts";
import {
  consoleCalls,
  fileLengths,
  focusedTests,
  globalHooks,
  headerComments,
  leftoverMarkers,
  lineLengths,
} from "./tidy/text-rules.ts";

const source = "packages/wire/src/frame.ts";
const test = "packages/wire/src/frame.test.ts";

function file(path: string, text: string): SourceFile {
  return { path, text };
}

function complains(complaints: readonly string[], pattern: RegExp, count = 1): void {
  assert.equal(complaints.length, count, complaints.join("\n"));
  for (const complaint of complaints) assert.match(complaint, pattern);
}

function content(complaints: readonly string[]): void {
  assert.deepEqual(complaints, []);
}

describe("text rules", () => {
  it("find long lines, counted in characters", () => {
    complains(lineLengths(file(source, `short\n${"x".repeat(101)}`)), /frame\.ts:2 is 101 columns/);
    content(lineLengths(file(source, "é😀".repeat(50))));
    content(lineLengths(file(source, `// https://${"x".repeat(101)}`)));
    content(lineLengths(file("packages/wire/src/generated/a.ts", "x".repeat(101))));
    content(lineLengths(file("README.md", "x".repeat(101))));
  });

  it("find long files", () => {
    complains(fileLengths(file(source, "x\n".repeat(701))), /has 701 lines/);
    content(fileLengths(file(source, "x\n".repeat(700))));
  });

  it("find files without a header", () => {
    complains(
      headerComments(file(source, 'import "x";\n/** Comes too late to be read. */')),
      /begin/,
    );
    complains(headerComments(file(source, "/** Frame. */\n")), /begin/);
    complains(headerComments(file(".ci/run", "#!/bin/bash\nset -e\n")), /begin/);
    content(headerComments(file(source, "/** What this file is all about. */\n")));
    content(
      headerComments(file("tools/a.mjs", "#!/usr/bin/env node\n// What this file is for.\n")),
    );
    content(headerComments(file(".ci/run", "#!/bin/bash\n# What this script is for.\n")));
  });

  it("find leftover markers", () => {
    const marker = "TO" + "DO";
    complains(
      leftoverMarkers(file(source, `a\n// ${marker}: later`)),
      /frame\.ts:2 has a leftover/,
    );
    content(leftoverMarkers(file(source, `const ${marker}_LIST = 1; // todo lists`)));
  });

  it("find console output in libraries", () => {
    const text = "  console.log(1);\n // console.log is forbidden: console.log(1)\n";
    complains(consoleCalls(file(source, text)), /frame\.ts:1 writes/);
    content(consoleCalls(file(test, text)));
    content(consoleCalls(file("packages/server/src/bin.ts", text)));
    content(consoleCalls(file("packages/perf/src/live-line.ts", text)));
  });

  it("find focused tests", () => {
    for (const text of [`it.on${"ly"}("x")`, `test("x", { on${"ly"}: true }, f)`]) {
      complains(focusedTests(file(test, text)), /alone/);
    }
    content(focusedTests(file(test, 'it("reads only what it needs", () => {});')));
  });

  it("find hooks outside a describe", () => {
    complains(globalHooks(file(test, "afterEach(() => {});")), /hook/);
    content(globalHooks(file(test, "describe(() => {\n  afterEach(() => {});\n});")));
    content(globalHooks(file("packages/wire/test/a.test.ts", "afterEach(() => {});")));
  });

  it("find long functions, by Biome", () => {
    // In a folder of its own, with the project's rules but not its ignore files.
    const folder = mkdtempSync(join(tmpdir(), "haremq-tidy-"));
    const config = JSON.parse(readFileSync(join(root, "biome.json"), "utf8"));
    const rules = { ...config, vcs: undefined };
    writeFileSync(join(folder, "biome.json"), JSON.stringify(rules));
    const biome = join(root, "node_modules/@biomejs/biome/bin/biome");
    const complaints = (lines: number) => {
      const body = "  one();\n".repeat(lines);
      const text = `export function long(one: () => void) {\n${body}}\n`;
      writeFileSync(join(folder, "long.ts"), text);
      const { stderr } = spawnSync(process.execPath, [biome, "lint", "long.ts"], {
        cwd: folder,
        encoding: "utf8",
      });
      assert.match(stderr, /Checked 1 file/);
      return stderr.match(/too many lines/g)?.length ?? 0;
    };
    assert.equal(complaints(60), 0);
    assert.equal(complaints(80), 1);
    rmSync(folder, { recursive: true });
  });
});

describe("importsOf", () => {
  it("sees every form of import, and none in comments", () => {
    const text = [
      'import a from "a";',
      'import type { B } from "b";',
      'import {\n  c,\n  type D,\n} from "c";',
      'export * from "./d.ts";',
      'export {\n  e,\n} from "./e.ts";',
      'import "f";',
      'const g = await import("g");',
      ' * import { x } from "comment";',
      '// import("comment")',
      'const text = "from nowhere";',
    ].join("\n");
    const found = importsOf(file(source, text)).map(({ specifier }) => specifier);
    assert.deepEqual(found, ["a", "b", "c", "./d.ts", "./e.ts", "f", "g"]);
  });
});

describe("direction rules", () => {
  function importing(path: string, specifier: string): string[] {
    return importDirections(file(path, `import { x } from "${specifier}";\n`));
  }

  it("find imports against the directions", () => {
    complains(importing("packages/amqp/src/a.ts", "haremq"), /amqp may not import haremq/);
    complains(importing("packages/kernel/src/a.ts", "@haremq/wire"), /kernel may not import/);
    complains(importing("packages/broker/src/a.ts", "@haremq/amqp"), /broker may not import/);
    complains(importing("packages/client/src/a.ts", "@haremq/broker"), /client may not import/);
    complains(importing("packages/broker/src/a.ts", "@haremq/testkit"), /may not import/);
    content(importing("packages/amqp/src/a.ts", "@haremq/broker"));
    content(importing("packages/broker/src/a.test.ts", "@haremq/testkit"));
    content(importing("packages/perf/src/a.ts", "@haremq/client"));
    content(importing("packages/wire/src/a.test.ts", "fast-check"));
    complains(importing("packages/cellar/src/a.ts", "x"), /not in the table/);
  });

  it("find doors that are not doors", () => {
    complains(importing("packages/amqp/src/a.ts", "@haremq/wire/src/text.ts"), /reaches into/);
    complains(importing("packages/amqp/src/a.ts", "../../wire/src/text.ts"), /leaves its package/);
    complains(importing("packages/amqp/src/a.ts", "../test/a.ts"), /leaves its package/);
    content(importing("packages/amqp/src/a/b.ts", "../c.ts"));
    content(importing("packages/amqp/src/a.test.ts", "../test/a.ts"));
  });

  it("find those who reach outside the process", () => {
    for (const name of ["net", "http", "fs", "fs/promises", "child_process", "worker_threads"]) {
      for (const room of ["kernel", "wire", "broker"]) {
        complains(importing(`packages/${room}/src/a.ts`, `node:${name}`), /may not use node:/);
      }
    }
    complains(importing("packages/amqp/src/a.ts", "node:fs"), /amqp may not use node:fs/);
    complains(importing("packages/store/src/log/a.ts", "node:fs"), /a few files of store only/);
    complains(importing("packages/store/src/disk/disk.ts", "node:fs/promises"), /may not use/);
    complains(importing("packages/store/src/disk/real-disk.ts", "node:net"), /may not use/);
    content(importing("packages/store/src/disk/real-disk.ts", "node:fs/promises"));
    content(importing("packages/store/src/log/a.test.ts", "node:fs"));
    content(importing("packages/amqp/src/a.ts", "node:net"));
    content(importing("packages/kernel/src/a.ts", "node:util"));
    content(importing("packages/kernel/src/a.test.ts", "node:fs"));
  });

  it("have no circle in their own table", () => {
    const visit = (room: string, path: readonly string[]): void => {
      assert.ok(!path.includes(room), [...path, room].join(" -> "));
      for (const used of rooms[room]?.uses ?? assert.fail(room)) visit(used, [...path, room]);
    };
    for (const room of Object.keys(rooms)) visit(room, []);
  });

  it("find dependencies against the directions, wrong names and loose versions", () => {
    const manifest = (content: object, path = "packages/wire/package.json") =>
      manifestDirections([file(path, JSON.stringify({ name: "@haremq/wire", ...content }))]);
    complains(manifest({ dependencies: { "@haremq/broker": "0.1.0" } }), /may not depend on/);
    complains(manifest({ dependencies: { ws: "^8.0.0" } }), /does not pin ws/);
    complains(manifest({ devDependencies: { ws: "latest" } }, "package.json"), /does not pin ws/);
    complains(manifest({ name: "wire" }), /is called wire/);
    content(manifest({ dependencies: { "@haremq/kernel": "0.1.0", ws: "8.0.0" } }));
  });

  it("find imports that are not declared", () => {
    const project = (dependencies: object) => [
      file(source, 'import { x } from "@haremq/kernel";\nimport "node:util";\n'),
      file(test, 'import fc from "fast-check";\n'),
      file("packages/wire/package.json", JSON.stringify({ dependencies })),
    ];
    complains(undeclaredImports(project({})), /imports @haremq\/kernel/);
    content(undeclaredImports(project({ "@haremq/kernel": "0.1.0" })));
  });
});

describe("project rules", () => {
  it("find files that nothing leads to", () => {
    const files = [
      file("packages/wire/src/index.ts", 'export * from "./a.ts";'),
      file("packages/wire/src/a.ts", 'import "./b/c.ts";'),
      file("packages/wire/src/b/c.ts", ""),
      file("packages/wire/src/d.test.ts", 'import { suite } from "./d.contract.ts";'),
      file("packages/wire/src/d.contract.ts", ""),
      file("packages/server/bin/haremq.js", 'await import("../dist/bin.js");'),
      file("packages/server/src/bin.ts", ""),
      file("package.json", '{ "scripts": { "x": "node tools/x.mjs" } }'),
      file("tools/x.mjs", 'join(root, "tools/y.mjs")'),
      file("tools/y.mjs", ""),
    ];
    content(deadFiles(files));
    const dead = [file("packages/wire/src/dead.ts", 'import "./a.ts";'), file("tools/z.mjs", "")];
    complains(deadFiles([...files, ...dead]), /dead\.ts is used by nothing|z\.mjs is used/, 2);
  });

  it("find broken links", () => {
    const exists = (path: string) => ["docs/a.md", "README.md", "docs/b c.md"].includes(path);
    const readme = (text: string) => [
      file("README.md", `# Hare & more\n\n${text}\n`),
      file("docs/a.md", "# One\n\n## Two words\n\n## Two words\n"),
    ];
    const good = "[a](docs/a.md) [b](docs/a.md#two-words-1) [c](#hare--more) [d](https://x.y/z)";
    content(brokenLinks(readme(`${good} [e](docs/b%20c.md) ![f](docs/a.md "title")`), exists));
    content(brokenLinks(readme("```\n[a](nothing.md)\n```\n"), exists));
    complains(brokenLinks(readme("[a](docs/none.md)"), exists), /does not exist/);
    complains(brokenLinks(readme("[a](docs/a.md#three)"), exists), /no such heading/);
    complains(brokenLinks(readme("[a]: docs/none.md"), exists), /does not exist/);
    complains(brokenLinks(readme("[`a`](docs/none.md)"), exists), /does not exist/);
  });

  it("find traces of a registry", () => {
    const host = "https://registry.example.org/a.tgz";
    complains(registryHosts([file("package-lock.json", `"resolved": "${host}"`)]), /registry/);
    complains(registryHosts([file(".npmrc", "registry=https://x.y")]), /registry/);
    complains(registryHosts([file(".npmrc", "@haremq:registry = https://x.y")]), /registry/);
    content(registryHosts([file("package-lock.json", '"resolved": "packages/wire"')]));
    content(registryHosts([file(".npmrc", "omit-lockfile-registry-resolved=true\n")]));
  });

  it("find what a lock file leaves open", () => {
    const gaps = (packages: object) =>
      lockGaps(file("package-lock.json", JSON.stringify({ packages })));
    const root = { "": { dependencies: { a: "1.0.0" } } };
    const a = { version: "1.0.0", optionalDependencies: { "@b/c": "2.0.0" } };
    complains(gaps({ ...root }), /no entry for a,/);
    complains(gaps({ ...root, "node_modules/a": a }), /no entry for @b\/c,/);
    content(gaps({ ...root, "node_modules/a": a, "node_modules/@b/c": {} }));
    content(gaps({ ...root, "node_modules/a": a, "node_modules/a/node_modules/@b/c": {} }));
  });
});
