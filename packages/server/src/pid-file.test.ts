/** The pid file is whole, replaces an old one, and is only removed by its owner. */

import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { removePidFile, writePidFile } from "./pid-file.ts";

describe("pid file", () => {
  const folder = mkdtempSync(join(tmpdir(), "haremq-pid-"));
  after(() => rmSync(folder, { recursive: true }));

  it("is written whole, in a folder made for it, over an old one", () => {
    const path = join(folder, "run/broker.pid");
    writePidFile(path, 1);
    writePidFile(path, 4711);
    assert.equal(readFileSync(path, "utf8"), "4711\n");
    assert.deepEqual(readdirSync(join(folder, "run")), ["broker.pid"]);
    removePidFile(path, 4711);
    assert.equal(existsSync(path), false);
  });

  it("is left alone when it is another's or gone", () => {
    const path = join(folder, "other.pid");
    writeFileSync(path, "12\n");
    removePidFile(path, 1);
    assert.equal(readFileSync(path, "utf8"), "12\n");
    removePidFile(join(folder, "nothing.pid"), 1);
  });
});
