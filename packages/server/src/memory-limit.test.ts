/** The memory there is, with control groups of both versions and without. */

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { availableMemoryBytes, highWatermarkBytes } from "./memory-limit.ts";

const machineBytes = 16e9;

function available(files: Readonly<Record<string, string>>): number {
  return availableMemoryBytes((path) => files[path], machineBytes);
}

describe("availableMemoryBytes", () => {
  it("is the machine's without control groups", () => {
    assert.equal(available({}), machineBytes);
  });

  it("is the group's limit in version 2, that of the smallest group on the way up", () => {
    const files = {
      "/proc/self/cgroup": "0::/pod/container\n",
      "/sys/fs/cgroup/pod/container/memory.max": "4000000000\n",
      "/sys/fs/cgroup/pod/memory.max": "3000000000\n",
      "/sys/fs/cgroup/memory.max": "max\n",
    };
    assert.equal(available(files), 3e9);
    assert.equal(available({ ...files, "/sys/fs/cgroup/pod/container/memory.high": "2000" }), 2000);
  });

  it("is the root's limit inside a container, where the named path does not exist", () => {
    const files = {
      "/proc/self/cgroup": "0::/docker/0123\n",
      "/sys/fs/cgroup/memory.max": "512000000\n",
    };
    assert.equal(available(files), 512e6);
  });

  it("is the group's limit in version 1, in its memory hierarchy only", () => {
    const files = {
      "/proc/self/cgroup": "9:cpu,cpuacct:/other\n4:memory:/docker/1\n1:name=systemd:/x\n0::/y\n",
      "/sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes": "1000000000\n",
      "/sys/fs/cgroup/memory/other/memory.limit_in_bytes": "5\n",
    };
    assert.equal(available(files), 1e9);
  });

  it("is the machine's when the group has no limit, a larger one, or an unreadable one", () => {
    for (const limit of ["max", "9223372036854771712", "99000000000", "", "0", "nonsense"]) {
      const files = { "/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/memory.max": limit };
      assert.equal(available(files), machineBytes, limit);
    }
  });

  it("reads this machine without failing", () => {
    assert.ok(availableMemoryBytes() > 0);
  });
});

describe("highWatermarkBytes", () => {
  it("is a share of what there is, or of what the configuration says there is", () => {
    const highWatermark = { relative: 0.4 };
    assert.equal(highWatermarkBytes({ highWatermark, totalBytes: undefined }, 1000), 400);
    assert.equal(highWatermarkBytes({ highWatermark, totalBytes: 500 }, 1000), 200);
  });

  it("is the absolute value where there is one", () => {
    const highWatermark = { absoluteBytes: 7 };
    assert.equal(highWatermarkBytes({ highWatermark, totalBytes: 500 }, 1000), 7);
  });
});
