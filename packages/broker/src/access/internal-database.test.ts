/** Goal: the right users come in, and may do what their patterns say and nothing else. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { SeededRandom } from "@haremq/kernel";
import { MemoryMetadataStore, permissionRecords, userRecords } from "@haremq/store";
import type { LoginResult, Permission } from "./access.ts";
import { hashPassword, InternalDatabase } from "./internal-database.ts";

const loopback = { address: "127.0.0.1", isLoopback: true };
const remote = { address: "192.0.2.7", isLoopback: false };
const anything = { configure: ".*", write: ".*", read: ".*" };
const nothing = { configure: "", write: "", read: "" };
const permissions: readonly Permission[] = ["configure", "write", "read"];

/** The broker's default user and one without special rules. */
async function givenUsers(): Promise<InternalDatabase> {
  const users = new InternalDatabase(["guest"], new SeededRandom(1));
  await users.addUser("guest", "guest", ["administrator"]);
  await users.addUser("alice", "s3cret", ["monitoring", "policymaker"]);
  return users;
}

function logIn(
  users: InternalDatabase,
  user: string,
  password: string,
  peer = loopback,
): Promise<LoginResult> {
  return users.authenticate({ user, password }, peer);
}

/** Whether alice may configure, write and read the queue, as "cwr" with dashes. */
function rights(users: InternalDatabase, name: string, vhost = "/"): string {
  const alice = { name: "alice", tags: [] };
  return permissions
    .map((each) => (users.may(alice, each, vhost, "queue", name) ? each[0] : "-"))
    .join("");
}

async function mayRead(pattern: string, name: string): Promise<boolean> {
  const users = await givenUsers();
  await users.setPermissions("alice", "/", { ...nothing, read: pattern });
  return rights(users, name) === "--r";
}

test("the right password lets in, and says who came", async () => {
  const result = await logIn(await givenUsers(), "alice", "s3cret");
  assert.deepEqual(result, {
    ok: true,
    user: { name: "alice", tags: ["monitoring", "policymaker"] },
  });
});

test("a wrong password and an unknown user are refused in the same words", async () => {
  const users = await givenUsers();
  const passwords = ["S3cret", "s3cret ", "s3cre", "guest", "\0"];
  for (const password of passwords) {
    assert.deepEqual(await logIn(users, "alice", password), {
      ok: false,
      reason: "user 'alice' - invalid credentials",
    });
  }
  for (const name of ["bob", "", "Alice", "constructor"]) {
    assert.deepEqual(await logIn(users, name, "s3cret"), {
      ok: false,
      reason: `user '${name}' - invalid credentials`,
    });
  }
});

test("nobody comes in with a blank password, not even one who has it", async () => {
  const users = await givenUsers();
  await users.addUser("blank", "", []);
  for (const name of ["blank", "alice", "bob"]) {
    assert.deepEqual(await logIn(users, name, ""), {
      ok: false,
      reason: `user '${name}' may not log in with a blank password`,
    });
  }
});

test("a loopback user is let in from nowhere else, and is not told too much", async () => {
  const users = await givenUsers();
  assert.equal((await logIn(users, "guest", "guest")).ok, true);
  assert.deepEqual(await logIn(users, "guest", "guest", remote), {
    ok: false,
    reason: "user 'guest' can only connect via localhost",
  });
  assert.deepEqual(await logIn(users, "guest", "wrong", remote), {
    ok: false,
    reason: "user 'guest' - invalid credentials",
  });
  assert.equal((await logIn(users, "alice", "s3cret", remote)).ok, true);
});

test("without loopback users everybody may come from everywhere", async () => {
  const users = new InternalDatabase([], new SeededRandom(1));
  await users.addUser("guest", "guest", []);
  assert.equal((await logIn(users, "guest", "guest", remote)).ok, true);
});

test("a user who is added again has the new password only", async () => {
  const users = await givenUsers();
  await users.addUser("alice", "another", []);
  assert.equal((await logIn(users, "alice", "s3cret")).ok, false);
  assert.equal((await logIn(users, "alice", "another")).ok, true);
});

test("passwords that are no ASCII work", async () => {
  const users = await givenUsers();
  await users.addUser("bob", "pässwörd ✓", []);
  assert.equal((await logIn(users, "bob", "pässwörd ✓")).ok, true);
  assert.equal((await logIn(users, "bob", "passwörd ✓")).ok, false);
});

// The first from RabbitMQ's documentation, the second from a RabbitMQ 3.10.
test("password hashes are RabbitMQ's: salt, then the SHA-256 of salt and password", async () => {
  const hashes = [
    ["test12", "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"],
    ["s3cret é", "vOLRPjX5w3DBnUqsqt+sKE6VbPgT1FxB6+CdISy1vfBcDShK"],
  ] as const;
  for (const [password, exported] of hashes) {
    const salt = Buffer.from(exported, "base64").subarray(0, 4);
    assert.equal(hashPassword(salt, password).toString("base64"), exported);
  }
});

test("every user gets a salt of four bytes, drawn anew", async () => {
  const asked: number[] = [];
  const random = {
    uint32: () => 0,
    bytes: (length: number) => {
      asked.push(length);
      return Buffer.alloc(length);
    },
  };
  const users = new InternalDatabase([], random);
  await users.addUser("alice", "same", []);
  await users.addUser("bob", "same", []);
  assert.deepEqual(asked, [4, 4]);
});

test("only who has permissions in a virtual host may enter it", async () => {
  const users = await givenUsers();
  const alice = { name: "alice", tags: ["administrator"] };
  assert.equal(users.mayEnter(alice, "/"), false, "tags are no permissions");
  await users.setPermissions("alice", "/", nothing);
  assert.equal(users.mayEnter(alice, "/"), true, "permissions to do nothing let in");
  assert.equal(users.mayEnter(alice, "other"), false);
  assert.equal(users.mayEnter({ name: "guest", tags: [] }, "/"), false);
  assert.equal(users.mayEnter({ name: "nobody", tags: [] }, "/"), false);
});

test("each permission has its own pattern, in its own virtual host", async () => {
  const users = await givenUsers();
  await users.setPermissions("alice", "/", { configure: "^c", write: "^w", read: "^[cwr]" });
  await users.setPermissions("alice", "other", { ...nothing, write: "." });
  assert.equal(rights(users, "c1"), "c-r");
  assert.equal(rights(users, "w1"), "-wr");
  assert.equal(rights(users, "r1"), "--r");
  assert.equal(rights(users, "x1"), "---");
  assert.equal(rights(users, "c1", "other"), "-w-");
  assert.equal(rights(users, "c1", "third"), "---");
  await users.setPermissions("alice", "/", anything);
  assert.equal(rights(users, "x1"), "cwr", "later permissions replace earlier ones");
  assert.equal(users.may({ name: "nobody", tags: [] }, "read", "/", "queue", "r1"), false);
});

test("an empty pattern matches nothing, and a pattern need not match the whole name", async () => {
  for (const name of ["a", "amq.default", " "]) assert.equal(await mayRead("", name), false);
  assert.equal(await mayRead("b", "abc"), true);
  assert.equal(await mayRead("^b", "abc"), false);
  assert.equal(await mayRead("^(a|b)$", "b"), true);
  assert.equal(await mayRead("^(a|b)$", "bb"), false);
  assert.equal(await mayRead("^.$", "😀"), true);
});

test("patterns may escape any punctuation, as RabbitMQ's may", async () => {
  for (const character of "-_!\"#%&',:;<=>@`~^$\\.*+?()[]{}|/") {
    assert.equal(
      await mayRead(`^a\\${character}b$`, `a${character}b`),
      true,
      `outside: ${character}`,
    );
    assert.equal(await mayRead(`^a\\${character}b$`, "axb"), false, `outside: ${character}`);
    assert.equal(
      await mayRead(`^[a\\${character}z]$`, character),
      true,
      `in a class: ${character}`,
    );
    assert.equal(await mayRead(`^[a\\${character}z]$`, "m"), false, `in a class: ${character}`);
  }
  assert.equal(await mayRead("^my\\-app\\.\\w+\\d$", "my-app.queue1"), true);
  assert.equal(await mayRead("^a\\\\-b$", "a\\-b"), true, "an escaped backslash escapes nothing");
});

test("a pattern that is none is refused, and leaves everything as it was", async () => {
  const users = await givenUsers();
  await users.setPermissions("alice", "/", { ...nothing, read: "^a" });
  const { epoch } = users;
  for (const pattern of ["[a", "(", "*", "\\Aa\\z", "[[:alpha:]]", "\\Qa.b\\E"]) {
    const setting = users.setPermissions("alice", "/", { ...anything, read: pattern });
    await assert.rejects(setting, { name: "SyntaxError" });
  }
  assert.equal(rights(users, "a"), "--r");
  assert.equal(users.epoch, epoch);
});

test("the default exchange is amq.default to patterns", async () => {
  const users = await givenUsers();
  const alice = { name: "alice", tags: [] };
  await users.setPermissions("alice", "/", { ...nothing, write: "^amq\\.default$" });
  assert.equal(users.may(alice, "write", "/", "exchange", ""), true);
  await users.setPermissions("alice", "/", { ...nothing, write: "^$" });
  assert.equal(users.may(alice, "write", "/", "exchange", ""), false);
});

test("permissions of a user who does not exist are refused", async () => {
  const setting = givenUsers().then((users) => users.setPermissions("nobody", "/", anything));
  await assert.rejects(setting, /no such user: nobody/);
});

test("without topic permissions every routing key is allowed", async () => {
  assert.equal((await givenUsers()).mayUseTopic(), true);
});

test("the epoch grows with every change", async () => {
  const users = new InternalDatabase([], new SeededRandom(1));
  const epochs = [users.epoch];
  await users.addUser("alice", "a", []);
  epochs.push(users.epoch);
  await users.setPermissions("alice", "/", anything);
  epochs.push(users.epoch);
  await users.setPermissions("alice", "/", nothing);
  epochs.push(users.epoch);
  assert.deepEqual(
    epochs,
    [...new Set(epochs)].sort((a, b) => a - b),
  );
});

// What is kept

/** The database again, as the next start finds it. */
function reopened(store: MemoryMetadataStore): InternalDatabase {
  return new InternalDatabase([], new SeededRandom(2), store);
}

test("users, tags, passwords and permissions are there again", async () => {
  const store = new MemoryMetadataStore();
  const users = reopened(store);
  await users.addUser("alice", "s3cret", ["monitoring", "policymaker"]);
  await users.setPermissions("alice", "/", { ...nothing, read: "^a" });
  await users.setPermissions("alice", "other", anything);
  const again = reopened(store);
  assert.deepEqual(await logIn(again, "alice", "s3cret"), {
    ok: true,
    user: { name: "alice", tags: ["monitoring", "policymaker"] },
  });
  assert.equal((await logIn(again, "alice", "wrong")).ok, false);
  assert.deepEqual([rights(again, "a"), rights(again, "b")], ["--r", "---"]);
  assert.equal(rights(again, "b", "other"), "cwr");
});

test("who is deleted does not come back, nor what they were allowed", async () => {
  const store = new MemoryMetadataStore();
  const users = reopened(store);
  await users.addUser("alice", "s3cret", []);
  await users.setPermissions("alice", "/", anything);
  const { epoch } = users;
  assert.equal(await users.deleteUser("alice"), true);
  assert.equal(await users.deleteUser("alice"), false);
  assert.ok(users.epoch > epoch);
  for (const each of [users, reopened(store)]) {
    assert.equal((await logIn(each, "alice", "s3cret")).ok, false);
    assert.equal(rights(each, "a"), "---");
    await each.addUser("alice", "s3cret", []);
    assert.equal(each.mayEnter({ name: "alice", tags: [] }, "/"), false);
    await each.deleteUser("alice");
  }
  assert.deepEqual([...store.scan([])], []);
});

test("permissions can be taken away for good", async () => {
  const store = new MemoryMetadataStore();
  const users = reopened(store);
  await users.addUser("alice", "s3cret", []);
  await users.setPermissions("alice", "/", anything);
  await users.clearPermissions("alice", "/");
  for (const each of [users, reopened(store)]) {
    assert.equal(each.mayEnter({ name: "alice", tags: [] }, "/"), false);
  }
});

test("who is added again begins anew on disk as well", async () => {
  const store = new MemoryMetadataStore();
  const users = reopened(store);
  await users.addUser("alice", "s3cret", ["administrator"]);
  await users.setPermissions("alice", "/", anything);
  await users.addUser("alice", "another", []);
  assert.deepEqual(userRecords.get(store, "alice")?.tags, []);
  assert.equal(permissionRecords.get(store, "/", "alice"), undefined);
  assert.equal((await logIn(reopened(store), "alice", "another")).ok, true);
});

test("a change holds once it is saved, not before", async () => {
  const store = new MemoryMetadataStore();
  const users = reopened(store);
  const adding = users.addUser("alice", "s3cret", []);
  assert.equal((await logIn(users, "alice", "s3cret")).ok, false);
  await adding;
  assert.equal((await logIn(users, "alice", "s3cret")).ok, true);
});

test("a change that cannot be saved does not hold", async () => {
  const store = new MemoryMetadataStore();
  const users = reopened(store);
  await users.addUser("alice", "s3cret", []);
  await store.close();
  await assert.rejects(users.deleteUser("alice"), { code: "closed" });
  await assert.rejects(users.setPermissions("alice", "/", anything), { code: "closed" });
  assert.equal((await logIn(users, "alice", "s3cret")).ok, true);
  assert.equal(users.mayEnter({ name: "alice", tags: [] }, "/"), false);
});

test("changes of one user take turns: no permissions outlive a deletion", async () => {
  const store = new MemoryMetadataStore();
  const users = reopened(store);
  await users.addUser("alice", "s3cret", []);
  const deleting = users.deleteUser("alice");
  await assert.rejects(users.setPermissions("alice", "/", anything), /no such user: alice/);
  await deleting;
  assert.deepEqual([...store.scan([])], []);
});

test("a user without a password that this broker can check cannot log in", async () => {
  const store = new MemoryMetadataStore();
  const hash = hashPassword(Buffer.alloc(4), "s3cret");
  const rest = { tags: [], limits: {} };
  await store.commit([
    userRecords.put({ name: "a", passwordHash: new Uint8Array(), hashingAlgorithm: "", ...rest }),
    userRecords.put({ name: "b", passwordHash: hash, hashingAlgorithm: "md5", ...rest }),
  ]);
  for (const name of ["a", "b"]) {
    assert.equal((await logIn(reopened(store), name, "s3cret")).ok, false);
  }
});

test("limits of a user are set, checked, cleared and kept", async () => {
  const store = new MemoryMetadataStore();
  const users = reopened(store);
  await users.addUser("alice", "s3cret", ["administrator"]);
  const alice = { name: "alice", tags: [] };
  const none = { maxConnections: undefined, maxChannels: undefined };
  assert.deepEqual(users.limitsOf(alice), none);
  await Promise.all([
    users.setLimit("alice", "max-connections", 5),
    users.setLimit("alice", "max-channels", 0),
  ]);
  assert.deepEqual(users.limitsOf(alice), { maxConnections: 5, maxChannels: 0 });
  assert.deepEqual(users.limitsByName("alice"), { "max-connections": 5, "max-channels": 0 });
  await users.setLimit("alice", "max-channels", -1);
  assert.deepEqual(users.limitsOf(alice), { maxConnections: 5, maxChannels: undefined });
  await users.clearLimit("alice", "max-channels");
  const again = reopened(store);
  assert.deepEqual(again.limitsByName("alice"), { "max-connections": 5 });
  assert.deepEqual(again.limitsOf(alice), { maxConnections: 5, maxChannels: undefined });
  assert.equal((await logIn(again, "alice", "s3cret")).ok, true, "the rest is as it was");

  const refused = async (name: string, value: unknown, message: string): Promise<void> => {
    const error = { name: "ParameterError", message };
    await assert.rejects(users.setLimit("alice", name, value as never), error);
  };
  await refused("max-channels", "a", 'max-channels should be a number, actually was <<"a">>');
  await refused("max-queues", 1, 'Unrecognised terms [{<<"max-queues">>,1}] in user-limits');
  await assert.rejects(users.setLimit("bob", "max-channels", 1), /no such user: bob/);
  assert.deepEqual(users.limitsOf({ name: "bob", tags: [] }), none);
});
