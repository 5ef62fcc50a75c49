/**
 * Goal: files that LMDB wrote are found to be sound, whatever is in them; damaged ones are refused
 * with an error that says so, and never handed to LMDB, which could end the process over them.
 */

import assert from "node:assert/strict";
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { SeededRandom } from "@haremq/kernel";
import { checkLmdbFile } from "./lmdb-file.ts";
import { LmdbMetadataStore } from "./lmdb-metadata-store.ts";

const pageBytes = 8192;

describe("LMDB files", () => {
  let folder: string;
  let sound: Buffer;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "haremq-lmdb-file-"));
    const store = await LmdbMetadataStore.open(folder);
    const random = new SeededRandom(3);
    for (let round = 0; round < 10; round++) {
      const changes = Array.from({ length: 40 }, () => {
        const isLarge = random.below(40) === 0;
        const key = ["q", String(random.below(1500)), "n".repeat(random.below(1000))];
        const value = random.below(4) === 0 ? undefined : "v".repeat(isLarge ? 40_000 : 200);
        return { key, value };
      });
      await store.commit(changes);
    }
    await store.close();
    sound = readFileSync(join(folder, "metadata.mdb"));
  });

  after(() => rmSync(folder, { recursive: true, force: true }));

  const check = (bytes: Buffer): ReturnType<typeof checkLmdbFile> => {
    const path = join(folder, "checked.mdb");
    writeFileSync(path, bytes);
    return checkLmdbFile(path);
  };

  /** Checks the sound file with one page replaced, which is put back afterwards. */
  const checkWithPage = (number: number, page: Buffer): void => {
    const path = join(folder, "patched.mdb");
    if (!existsSync(path)) writeFileSync(path, sound);
    const descriptor = openSync(path, "r+");
    writeSync(descriptor, page, 0, pageBytes, number * pageBytes);
    try {
      checkLmdbFile(path);
    } finally {
      writeSync(descriptor, sound, number * pageBytes, pageBytes, number * pageBytes);
      closeSync(descriptor);
    }
  };

  it("are sound as LMDB leaves them", () => {
    const report = check(sound);
    assert.equal(report.pageBytes, pageBytes);
    assert.equal(report.fileBytes, sound.length);
    assert.ok(report.entries > 200);
    assert.ok(report.usedPages > 50);
    assert.equal(report.transaction, 11);
  });

  it("are refused when cut anywhere in what is used", () => {
    const { usedPages } = check(sound);
    for (const length of [
      0,
      1,
      100,
      pageBytes,
      pageBytes + 100,
      2 * pageBytes,
      9 * pageBytes + 1,
    ]) {
      assert.throws(() => check(sound.subarray(0, length)), { code: "damaged" }, `${length} bytes`);
    }
    assert.throws(() => check(sound.subarray(0, (usedPages / 2) * pageBytes)), { code: "damaged" });
  });

  it("are refused when they are something else", () => {
    assert.throws(() => check(Buffer.alloc(100_000)), { code: "damaged", message: /meta page 0/ });
    assert.throws(() => check(new SeededRandom(1).bytes(100_000)), { code: "damaged" });
    const later = Buffer.from(sound);
    later.writeUInt32LE(3, 28);
    assert.throws(() => check(later), { code: "damaged", message: /data version 3/ });
    assert.throws(() => checkLmdbFile(join(folder, "none.mdb")), { code: "failed" });
  });

  it("are refused when a page in use is lost or of another place, and only then", () => {
    const pages = sound.length / pageBytes;
    const noise = new SeededRandom(5).bytes(pageBytes);
    const damage: [string, (number: number) => Buffer][] = [
      ["zeroed", () => Buffer.alloc(pageBytes)],
      ["overwritten by another page", (number) => pageOf(sound, (number + 1) % pages)],
      ["turned into noise", () => noise],
    ];
    const { usedPages } = check(sound);
    for (const [what, damagedPage] of damage) {
      let refused = 0;
      for (let number = 0; number < pages; number++) {
        try {
          checkWithPage(number, damagedPage(number));
        } catch (error) {
          assert.equal((error as { code: string }).code, "damaged", what);
          refused++;
        }
      }
      // The rest of a large value has no page head: its record has a checksum instead.
      assert.ok(refused > usedPages / 3 && refused <= usedPages, `${what}: ${refused}`);
    }
  });

  it("are never read beyond their bounds, whichever bits are flipped", () => {
    const random = new SeededRandom(11);
    for (let round = 0; round < 2000; round++) {
      const number = random.below(sound.length / pageBytes);
      const page = Buffer.from(pageOf(sound, number));
      for (let flip = 0; flip <= random.below(8); flip++) {
        // Mostly in the head and the offsets, where a flip matters.
        page[random.below(random.below(2) === 0 ? 64 : pageBytes)]! ^= 1 << random.below(8);
      }
      try {
        checkWithPage(number, page);
      } catch (error) {
        assert.equal((error as { code?: string }).code, "damaged", `round ${round}: ${error}`);
      }
    }
  });

  it("that are damaged are not opened, and say which file it is", async () => {
    const path = join(folder, "metadata.mdb");
    writeFileSync(path, sound.subarray(0, 10 * pageBytes));
    await assert.rejects(LmdbMetadataStore.open(folder), (error: Error & { code: string }) => {
      assert.equal(error.code, "damaged");
      assert.ok(error.message.includes(path), error.message);
      return true;
    });
    writeFileSync(path, "");
    await assert.rejects(LmdbMetadataStore.open(folder), { code: "damaged" });
    writeFileSync(path, sound);
    const store = await LmdbMetadataStore.open(folder);
    assert.ok([...store.scan(["q"])].length > 200);
    await store.close();
  });

  it("whose records are damaged open, and refuse to give those out", async () => {
    const path = join(folder, "metadata.mdb");
    const bytes = Buffer.from(sound);
    const needle = Buffer.from('"vvvvvvvv');
    for (let at = bytes.indexOf(needle); at !== -1; at = bytes.indexOf(needle, at + 1)) {
      bytes[at + 4] = 0x77;
    }
    writeFileSync(path, bytes);
    const store = await LmdbMetadataStore.open(folder);
    assert.throws(() => [...store.scan(["q"])], { code: "damaged", message: /checksum: "q \d+/ });
    await store.close();
  });
});

function pageOf(bytes: Buffer, number: number): Buffer {
  return bytes.subarray(number * pageBytes, (number + 1) * pageBytes);
}
