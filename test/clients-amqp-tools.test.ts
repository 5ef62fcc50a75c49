/**
 * Debian's amqp-tools: the C client rabbitmq-c, which knows nothing of our habits. Where a message
 * has more to show than the tools print, amqplib looks at it.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { collect, killTool, runTool, skipWithoutTools, startTool } from "./clients/amqp-tools.ts";
import {
  getMessage,
  openChannel,
  openConfirmChannel,
  settle,
  text,
} from "./clients/amqplib-actions.ts";
import { within, withResolvers } from "./clients/deadline.ts";
import { openBench } from "./clients/test-bed.ts";

const bench = await openBench();
const mebibyte = 1024 * 1024;
const skip = skipWithoutTools();

describe("amqp-tools", () => {
  test(
    "declare, publish, get and delete",
    { skip },
    bench.scenario(async (bed) => {
      const queue = bed.name("tools");
      const declared = await runTool(bed, "amqp-declare-queue", ["-d", "-q", queue]);
      assert.deepEqual([declared.exitCode, declared.stdout.toString().trim()], [0, queue]);
      const sent = await runTool(bed, "amqp-publish", ["-r", queue, "-b", "hello"]);
      assert.deepEqual([sent.exitCode, sent.stderr], [0, ""]);
      const got = await runTool(bed, "amqp-get", ["-q", queue]);
      assert.deepEqual([got.exitCode, got.stdout.toString()], [0, "hello"]);
      const empty = await runTool(bed, "amqp-get", ["-q", queue]);
      assert.deepEqual([empty.exitCode, empty.stdout.toString()], [2, ""], "2 says: empty");
      await runTool(bed, "amqp-publish", ["-r", queue, "-b", "left over"]);
      const deleted = await runTool(bed, "amqp-delete-queue", ["-q", queue]);
      assert.deepEqual([deleted.exitCode, deleted.stdout.toString().trim()], [0, "1"]);
    }),
  );

  test(
    "a server-named queue is named by the server",
    { skip },
    bench.scenario(async (bed) => {
      const declared = await runTool(bed, "amqp-declare-queue", ["-q", ""]);
      assert.equal(declared.exitCode, 0);
      const name = declared.stdout.toString().trim();
      bed.remember(name);
      assert.match(name, /^amq\.gen-[A-Za-z0-9_-]{22}$/);
      await (await openChannel(bed)).checkQueue(name);
    }),
  );

  test(
    "publish sets what its options say",
    { skip },
    bench.scenario(async (bed) => {
      const channel = await openChannel(bed);
      const queue = bed.name("options");
      await channel.assertQueue(queue);
      const headers = ["-H", "first: one", "-H", "second: zwei ü"];
      const properties = ["-C", "text/x-odd", "-E", "identity", "-t", "reply.here"];
      const { exitCode } = await runTool(
        bed,
        "amqp-publish",
        ["-r", queue, "-p", ...properties, ...headers],
        "from standard input",
      );
      assert.equal(exitCode, 0);
      const message = await getMessage(channel, queue);
      assert.equal(text(message), "from standard input");
      assert.deepEqual(
        Object.fromEntries(
          Object.entries(message.properties).filter(([, value]) => value !== undefined),
        ),
        {
          contentType: "text/x-odd",
          contentEncoding: "identity",
          headers: { first: "one", second: "zwei ü" },
          deliveryMode: 2,
          replyTo: "reply.here",
        },
      );
    }),
  );

  test(
    "each line becomes a message, published to an exchange",
    { skip },
    bench.scenario(async (bed) => {
      const channel = await openChannel(bed);
      const { queue } = await channel.assertQueue(bed.name("lines"));
      await channel.bindQueue(queue, "amq.topic", "lines.*");
      const lines = Array.from({ length: 100 }, (_, i) => `line ${i}\n`);
      const { exitCode } = await runTool(
        bed,
        "amqp-publish",
        ["-e", "amq.topic", "-r", "lines.x", "-l"],
        lines.join(""),
      );
      assert.equal(exitCode, 0);
      assert.equal((await channel.checkQueue(queue)).messageCount, 100);
      const consumed = await runTool(bed, "amqp-consume", ["-q", queue, "-c", "100", "-A", "cat"]);
      assert.deepEqual([consumed.exitCode, consumed.stdout.toString()], [0, lines.join("")]);
    }),
  );

  for (const size of [0, 1, 131_064, 131_065, 131_072, mebibyte, 10 * mebibyte]) {
    test(
      `a body of ${size} bytes goes in by the one tool and comes out by the other`,
      { skip },
      bench.scenario(async (bed) => {
        const channel = await openChannel(bed);
        const { queue } = await channel.assertQueue(bed.name("sized"));
        const body = Buffer.alloc(size, "0123456789abcdefghijklmnopqrstuvwxy");
        const sent = await runTool(bed, "amqp-publish", ["-r", queue], body);
        assert.deepEqual([sent.exitCode, sent.stderr], [0, ""]);
        await settle(channel, queue);
        const got = await runTool(bed, "amqp-get", ["-q", queue]);
        assert.equal(got.exitCode, 0, got.stderr);
        assert.ok(got.stdout.equals(body));
      }),
    );
  }

  test(
    "amqp-consume acknowledges what its command handled, and nothing else",
    { skip },
    bench.scenario(async (bed) => {
      const channel = await openConfirmChannel(bed);
      const { queue } = await channel.assertQueue(bed.name("work"));
      for (const body of ["a", "b", "c"]) channel.sendToQueue(queue, Buffer.from(body));
      await channel.waitForConfirms();
      const run = await runTool(bed, "amqp-consume", ["-q", queue, "-c", "2", "-p", "1", "cat"]);
      assert.deepEqual([run.exitCode, run.stdout.toString()], [0, "ab"]);
      assert.equal(text(await getMessage(channel, queue)), "c");
      assert.equal(await channel.get(queue), false);
    }),
  );

  test(
    "amqp-consume declares an exclusive queue, binds it, and takes it along when it goes",
    { skip },
    bench.scenario(async (bed) => {
      const channel = await openConfirmChannel(bed);
      const exchange = bed.name("events");
      await channel.assertExchange(exchange, "topic");
      const args = ["-e", exchange, "-r", "news.#", "-x", "-c", "2", "cat"];
      const child = startTool(bed, "amqp-consume", args);
      const ended = collect(child);
      const named = withResolvers<string>();
      child.stderr.on("data", (chunk: Buffer) => named.resolve(chunk.toString()));
      const announcement = await within(named.promise, "amqp-consume to name its queue");
      const queue = /(amq\.gen-\S+)/.exec(announcement)?.[1] ?? "";
      assert.notEqual(queue, "", announcement);
      // The name is printed before the binding is made, so a returned message means: not yet.
      await publishUntilRouted(channel, exchange, "news.first", "one ");
      channel.publish(exchange, "weather", Buffer.from("ignored"));
      channel.publish(exchange, "news.second", Buffer.from("two"));
      const run = await within(ended, "amqp-consume to end");
      assert.deepEqual([run.exitCode, run.stdout.toString()], [0, "one two"]);
      channel.on("error", () => {});
      await assert.rejects(channel.checkQueue(queue), /NOT_FOUND/);
    }),
  );

  test(
    "a consumer that is killed gives back what it held",
    { skip },
    bench.scenario(async (bed) => {
      const channel = await openConfirmChannel(bed);
      const { queue } = await channel.assertQueue(bed.name("held"));
      channel.sendToQueue(queue, Buffer.from("held\n"));
      await channel.waitForConfirms();
      // The command prints the message and then waits for ever, before it could be acknowledged.
      const args = ["-q", queue, "--", "sh", "-c", "cat; exec tail -f /dev/null"];
      const child = startTool(bed, "amqp-consume", args);
      const printed = withResolvers<void>();
      child.stdout.on("data", () => printed.resolve());
      await within(printed.promise, "the message to be printed");
      killTool(child);
      const reader = await openChannel(bed);
      const returned = withResolvers<boolean>();
      await reader.consume(queue, (message) =>
        returned.resolve(message?.fields.redelivered === true),
      );
      assert.equal(await within(returned.promise, "the message to come back"), true);
    }),
  );

  test(
    "refusals end a tool with the broker's words",
    { skip },
    bench.scenario(async (bed) => {
      const absent = bed.name("absent");
      const got = await runTool(bed, "amqp-get", ["-q", absent]);
      assert.equal(got.exitCode, 1);
      assert.match(got.stderr, /server channel error 404h?, message: NOT_FOUND - no queue/);
      const published = await runTool(bed, "amqp-publish", ["-e", absent, "-b", "x"]);
      assert.match(`${published.exitCode} ${published.stderr}`, /^[01] /);
      const channel = await openConfirmChannel(bed);
      const { queue } = await channel.assertQueue(bed.name("full"));
      channel.sendToQueue(queue, Buffer.from("x"));
      await channel.waitForConfirms();
      const deleted = await runTool(bed, "amqp-delete-queue", ["-e", "-q", queue]);
      assert.equal(deleted.exitCode, 1);
      assert.match(deleted.stderr, /406h?, message: PRECONDITION_FAILED - queue .* not empty/);
      const login = await runTool(bed, "amqp-get", ["-q", queue, "--password=wrong"]);
      assert.equal(login.exitCode, 1);
      assert.match(login.stderr, /ACCESS_REFUSED|logging in|connection/i);
    }),
  );
});

type ConfirmChannel = Awaited<ReturnType<typeof openConfirmChannel>>;

async function publishUntilRouted(
  channel: ConfirmChannel,
  exchange: string,
  key: string,
  body: string,
): Promise<void> {
  let returned = true;
  channel.on("return", () => {
    returned = true;
  });
  while (returned) {
    returned = false;
    channel.publish(exchange, key, Buffer.from(body), { mandatory: true });
    await channel.waitForConfirms();
  }
}
