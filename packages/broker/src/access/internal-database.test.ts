/** Goal: the right users come in, and may do what their patterns say and nothing else. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { SeededRandom } from "@haremq/kernel";
import type { LoginResult, Permission } from "./access.ts";
import { hashPassword, InternalDatabase } from "./internal-database.ts";

const loopback = { address: "127.0.0.1", isLoopback: true };
const remote = { address: "192.0.2.7", isLoopback: false };
const anything = { configure: ".*", write: ".*", read: ".*" };
const nothing = { configure: "", write: "", read: "" };
const permissions: readonly Permission[] = ["configure", "write", "read"];

/** The broker's default user and one without special rules. */
function givenUsers(): InternalDatabase {
  const users = new InternalDatabase(["guest"], new SeededRandom(1));
  users.addUser("guest", "guest", ["administrator"]);
  users.addUser("alice", "s3cret", ["monitoring", "policymaker"]);
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

function mayRead(pattern: string, name: string): boolean {
  const users = givenUsers();
  users.setPermissions("alice", "/", { ...nothing, read: pattern });
  return rights(users, name) === "--r";
}

test("the right password lets in, and says who came", async () => {
  const result = await logIn(givenUsers(), "alice", "s3cret");
  assert.deepEqual(result, {
    ok: true,
    user: { name: "alice", tags: ["monitoring", "policymaker"] },
  });
});

test("a wrong password and an unknown user are refused in the same words", async () => {
  const users = givenUsers();
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
  const users = givenUsers();
  users.addUser("blank", "", []);
  for (const name of ["blank", "alice", "bob"]) {
    assert.deepEqual(await logIn(users, name, ""), {
      ok: false,
      reason: `user '${name}' may not log in with a blank password`,
    });
  }
});

test("a loopback user is let in from nowhere else, and is not told too much", async () => {
  const users = givenUsers();
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
  users.addUser("guest", "guest", []);
  assert.equal((await logIn(users, "guest", "guest", remote)).ok, true);
});

test("a user who is added again has the new password only", async () => {
  const users = givenUsers();
  users.addUser("alice", "another", []);
  assert.equal((await logIn(users, "alice", "s3cret")).ok, false);
  assert.equal((await logIn(users, "alice", "another")).ok, true);
});

test("passwords that are no ASCII work", async () => {
  const users = givenUsers();
  users.addUser("bob", "pässwörd ✓", []);
  assert.equal((await logIn(users, "bob", "pässwörd ✓")).ok, true);
  assert.equal((await logIn(users, "bob", "passwörd ✓")).ok, false);
});

// The first from RabbitMQ's documentation, the second from a RabbitMQ 3.10.
test("password hashes are RabbitMQ's: salt, then the SHA-256 of salt and password", () => {
  const hashes = [
    ["test12", "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"],
    ["s3cret é", "vOLRPjX5w3DBnUqsqt+sKE6VbPgT1FxB6+CdISy1vfBcDShK"],
  ] as const;
  for (const [password, exported] of hashes) {
    const salt = Buffer.from(exported, "base64").subarray(0, 4);
    assert.equal(hashPassword(salt, password).toString("base64"), exported);
  }
});

test("every user gets a salt of four bytes, drawn anew", () => {
  const asked: number[] = [];
  const random = {
    uint32: () => 0,
    bytes: (length: number) => {
      asked.push(length);
      return Buffer.alloc(length);
    },
  };
  const users = new InternalDatabase([], random);
  users.addUser("alice", "same", []);
  users.addUser("bob", "same", []);
  assert.deepEqual(asked, [4, 4]);
});

test("only who has permissions in a virtual host may enter it", () => {
  const users = givenUsers();
  const alice = { name: "alice", tags: ["administrator"] };
  assert.equal(users.mayEnter(alice, "/"), false, "tags are no permissions");
  users.setPermissions("alice", "/", nothing);
  assert.equal(users.mayEnter(alice, "/"), true, "permissions to do nothing let in");
  assert.equal(users.mayEnter(alice, "other"), false);
  assert.equal(users.mayEnter({ name: "guest", tags: [] }, "/"), false);
  assert.equal(users.mayEnter({ name: "nobody", tags: [] }, "/"), false);
});

test("each permission has its own pattern, in its own virtual host", () => {
  const users = givenUsers();
  users.setPermissions("alice", "/", { configure: "^c", write: "^w", read: "^[cwr]" });
  users.setPermissions("alice", "other", { ...nothing, write: "." });
  assert.equal(rights(users, "c1"), "c-r");
  assert.equal(rights(users, "w1"), "-wr");
  assert.equal(rights(users, "r1"), "--r");
  assert.equal(rights(users, "x1"), "---");
  assert.equal(rights(users, "c1", "other"), "-w-");
  assert.equal(rights(users, "c1", "third"), "---");
  users.setPermissions("alice", "/", anything);
  assert.equal(rights(users, "x1"), "cwr", "later permissions replace earlier ones");
  assert.equal(users.may({ name: "nobody", tags: [] }, "read", "/", "queue", "r1"), false);
});

test("an empty pattern matches nothing, and a pattern need not match the whole name", () => {
  for (const name of ["a", "amq.default", " "]) assert.equal(mayRead("", name), false);
  assert.equal(mayRead("b", "abc"), true);
  assert.equal(mayRead("^b", "abc"), false);
  assert.equal(mayRead("^(a|b)$", "b"), true);
  assert.equal(mayRead("^(a|b)$", "bb"), false);
  assert.equal(mayRead("^.$", "😀"), true);
});

test("patterns may escape any punctuation, as RabbitMQ's may", () => {
  for (const character of "-_!\"#%&',:;<=>@`~^$\\.*+?()[]{}|/") {
    assert.equal(mayRead(`^a\\${character}b$`, `a${character}b`), true, `outside: ${character}`);
    assert.equal(mayRead(`^a\\${character}b$`, "axb"), false, `outside: ${character}`);
    assert.equal(mayRead(`^[a\\${character}z]$`, character), true, `in a class: ${character}`);
    assert.equal(mayRead(`^[a\\${character}z]$`, "m"), false, `in a class: ${character}`);
  }
  assert.equal(mayRead("^my\\-app\\.\\w+\\d$", "my-app.queue1"), true);
  assert.equal(mayRead("^a\\\\-b$", "a\\-b"), true, "an escaped backslash escapes nothing");
});

test("a pattern that is none is refused, and leaves everything as it was", () => {
  const users = givenUsers();
  users.setPermissions("alice", "/", { ...nothing, read: "^a" });
  const { epoch } = users;
  for (const pattern of ["[a", "(", "*", "\\Aa\\z", "[[:alpha:]]", "\\Qa.b\\E"]) {
    assert.throws(() => users.setPermissions("alice", "/", { ...anything, read: pattern }), {
      name: "SyntaxError",
    });
  }
  assert.equal(rights(users, "a"), "--r");
  assert.equal(users.epoch, epoch);
});

test("the default exchange is amq.default to patterns", () => {
  const users = givenUsers();
  const alice = { name: "alice", tags: [] };
  users.setPermissions("alice", "/", { ...nothing, write: "^amq\\.default$" });
  assert.equal(users.may(alice, "write", "/", "exchange", ""), true);
  users.setPermissions("alice", "/", { ...nothing, write: "^$" });
  assert.equal(users.may(alice, "write", "/", "exchange", ""), false);
});

test("permissions of a user who does not exist are refused", () => {
  assert.throws(() => givenUsers().setPermissions("nobody", "/", anything), /no such user: nobody/);
});

test("without topic permissions every routing key is allowed", () => {
  assert.equal(givenUsers().mayUseTopic(), true);
});

test("the epoch grows with every change", () => {
  const users = new InternalDatabase([], new SeededRandom(1));
  const epochs = [users.epoch];
  users.addUser("alice", "a", []);
  epochs.push(users.epoch);
  users.setPermissions("alice", "/", anything);
  epochs.push(users.epoch);
  users.setPermissions("alice", "/", nothing);
  epochs.push(users.epoch);
  assert.deepEqual(
    epochs,
    [...new Set(epochs)].sort((a, b) => a - b),
  );
});
