/** Acknowledging, refusing, requeueing and recovering; prefetch. */

import { area, scenario } from "../scenario.ts";
import { call, eachAlone, on, publish, reopen, together } from "../step.ts";

const queue = call("queue.declare", { queue: "~q", exclusive: true });
const passive = call("queue.declare", { queue: "~q", passive: true });
const send = (...bodies: string[]) => bodies.map((body) => publish("", "~q", body));
const get = (noAck = false) => call("basic.get", { queue: "~q", noAck });
const gets = (count: number) => Array.from({ length: count }, () => get());
const consume = (consumerTag: string, noAck = false) =>
  call("basic.consume", { queue: "~q", consumerTag, noAck });
const ack = (deliveryTag: number, multiple = false) => call("basic.ack", { deliveryTag, multiple });
const nack = (deliveryTag: number, requeue: boolean, multiple = false) =>
  call("basic.nack", { deliveryTag, multiple, requeue });
const reject = (deliveryTag: number, requeue: boolean) =>
  call("basic.reject", { deliveryTag, requeue });
const recover = call("basic.recover", { requeue: true });
const prefetch = (prefetchCount: number, global = false) =>
  call("basic.qos", { prefetchCount, global });
const closeChannel = call("channel.close", { replyCode: 200 });
const openChannel = call("channel.open");

const unknownTags = [
  scenario(
    "tags that were never handed out",
    eachAlone([
      ack(7),
      ack(0),
      ack(5, true),
      nack(7, true),
      nack(0, false),
      nack(5, true, true),
      reject(7, true),
      reject(0, false),
      ack(2 ** 52),
    ]),
  ),
  scenario("all of nothing", [ack(0, true), nack(0, true, true), nack(0, false, true)]),
  scenario("twice", [queue, ...send("1", "2"), ...gets(2), ack(1), ack(1)]),
  scenario("ack after nack", [queue, ...send("1"), get(), nack(1, false), ack(1)]),
  scenario("ack after reject and requeue", [queue, ...send("1"), get(), reject(1, true), ack(1)]),
  scenario("a tag of a message that needs none", [queue, ...send("1"), get(true), ack(1)]),
  scenario("a tag of another channel", [
    queue,
    ...send("1"),
    on(2, openChannel),
    on(2, get()),
    ack(1),
    reopen(),
    on(2, ack(1)),
  ]),
  scenario("a tag beyond the last one, multiple", [
    queue,
    ...send("1", "2"),
    ...gets(2),
    ack(5, true),
  ]),
  scenario("a settled tag, multiple, with older ones outstanding", [
    queue,
    ...send("1", "2", "3"),
    ...gets(3),
    ack(2),
    ack(2, true),
  ]),
  scenario("a settled tag, multiple, with only younger ones outstanding", [
    queue,
    ...send("1", "2"),
    ...gets(2),
    ack(1),
    ack(1, true),
  ]),
];

const multiple = [
  scenario("ack up to a tag", [
    queue,
    ...send("1", "2", "3"),
    ...gets(3),
    ack(2, true),
    ack(3),
    passive,
  ]),
  scenario("ack everything", [
    queue,
    ...send("1", "2", "3"),
    ...gets(3),
    ack(0, true),
    ack(0, true),
    closeChannel,
    openChannel,
    get(),
  ]),
  scenario("nack up to a tag, and back", [
    queue,
    ...send("1", "2", "3"),
    ...gets(3),
    nack(2, true, true),
    ...gets(3),
  ]),
  scenario("nack everything, and back", [
    queue,
    ...send("1", "2", "3"),
    ...gets(2),
    nack(0, true, true),
    ...gets(3),
  ]),
  scenario("nack everything, and gone", [
    queue,
    ...send("1", "2", "3"),
    ...gets(2),
    nack(0, false, true),
    ...gets(2),
  ]),
  scenario("multiple spans queues", [
    queue,
    call("queue.declare", { queue: "~r", exclusive: true }),
    ...send("q1", "q2"),
    publish("", "~r", "r1"),
    get(),
    call("basic.get", { queue: "~r" }),
    get(),
    nack(2, true, true),
    get(),
    call("basic.get", { queue: "~r" }),
  ]),
];

const requeueing = [
  scenario("back to the old place", [
    queue,
    ...send("1", "2", "3", "4"),
    ...gets(3),
    reject(2, true),
    ...gets(1),
    reject(3, true),
    reject(1, true),
    reject(4, true),
    ...gets(4),
  ]),
  scenario("in any order, they come back in theirs", [
    queue,
    ...send("1", "2", "3", "4", "5"),
    ...gets(5),
    nack(3, true),
    nack(5, true),
    nack(1, true),
    nack(4, true),
    nack(2, true),
    ...gets(5),
  ]),
  scenario("dropped", [
    queue,
    ...send("1", "2"),
    ...gets(2),
    reject(1, false),
    nack(2, false),
    get(),
    passive,
  ]),
  scenario("to the consumer that refused it", [
    queue,
    consume("t"),
    ...send("1"),
    nack(1, true),
    nack(2, true),
    reject(3, true),
    ack(4),
  ]),
  scenario("to another consumer", [
    queue,
    prefetch(1),
    consume("t"),
    consume("u"),
    ...send("1", "2", "3"),
    nack(1, true),
    nack(2, true),
  ]),
  scenario("when the channel closes", [
    queue,
    ...send("1", "2", "3"),
    ...gets(2),
    closeChannel,
    openChannel,
    ...gets(3),
  ]),
  scenario("when the channel is closed for an error", [
    queue,
    ...send("1", "2"),
    consume("t"),
    ack(9),
    reopen(),
    ...gets(2),
  ]),
  scenario("of two channels of one queue", [
    queue,
    ...send("1", "2", "3", "4"),
    on(2, openChannel),
    get(),
    on(2, get()),
    get(),
    on(2, get()),
    on(2, closeChannel),
    nack(1, true),
    nack(2, true),
    ...gets(4),
  ]),
  scenario("delivered again is said for good", [
    queue,
    ...send("1"),
    get(),
    reject(1, true),
    get(),
    reject(2, true),
    get(),
  ]),
];

const recovering = [
  scenario("recover without requeue", [call("basic.recover", { requeue: false })]),
  scenario("recover-async without requeue", [call("basic.recover-async", { requeue: false })]),
  scenario("recover nothing", [recover, call("basic.recover-async", { requeue: true })]),
  scenario("recover to the consumer", [
    queue,
    consume("t"),
    ...send("1", "2"),
    recover,
    ack(3),
    ack(4),
  ]),
  scenario("recover-async to the consumer", [
    queue,
    consume("t"),
    ...send("1", "2"),
    call("basic.recover-async", { requeue: true }),
  ]),
  scenario("recover what get has taken", [
    queue,
    ...send("1", "2", "3"),
    ...gets(2),
    recover,
    ...gets(3),
  ]),
  scenario("recovered tags are gone", [queue, ...send("1"), get(), recover, ack(1)]),
  scenario("recover one channel of two", [
    queue,
    ...send("1", "2"),
    get(),
    on(2, openChannel),
    on(2, get()),
    recover,
    get(),
    on(2, ack(1)),
    ack(2),
  ]),
];

const getting = [
  scenario("get from an empty queue", [queue, get(), get(true)]),
  scenario("get counts what is left", [
    queue,
    ...send("1", "2", "3"),
    get(),
    get(true),
    get(),
    get(),
  ]),
  scenario("tags go on after messages that need none", [
    queue,
    ...send("1", "2", "3"),
    get(true),
    get(),
    get(true),
    ack(2),
  ]),
  scenario("get beside a consumer", [
    queue,
    prefetch(1),
    consume("t"),
    ...send("1", "2"),
    get(),
    get(),
  ]),
];

const prefetching = [
  scenario("prefetch size", [call("basic.qos", { prefetchSize: 1 })]),
  scenario("prefetch size with a count", [
    call("basic.qos", { prefetchSize: 2 ** 31, prefetchCount: 5 }),
  ]),
  scenario("prefetch for every consumer", [
    queue,
    prefetch(2),
    consume("t"),
    consume("u"),
    ...send("1", "2", "3", "4", "5", "6"),
    ack(1),
    ack(4),
    ack(0, true),
  ]),
  scenario("prefetch holds from the next consumer on", [
    queue,
    consume("t"),
    prefetch(1),
    ...send("1", "2"),
    consume("u"),
    ...send("3", "4", "5", "6"),
  ]),
  scenario("prefetch zero is no limit", [
    queue,
    prefetch(1),
    prefetch(0),
    consume("t"),
    ...send("1", "2", "3"),
  ]),
  scenario("prefetch does not hold for get", [
    queue,
    prefetch(1),
    ...send("1", "2", "3"),
    ...gets(2),
  ]),
  scenario("prefetch for the whole channel", [
    queue,
    prefetch(2, true),
    consume("t"),
    consume("u"),
    ...send("1", "2", "3", "4"),
    ack(1),
    ack(2),
    ack(3, true),
  ]),
  scenario("prefetch for the whole channel, set later", [
    queue,
    consume("t"),
    ...send("1"),
    prefetch(2, true),
    ...send("2", "3"),
    ack(1),
    ack(2),
  ]),
  scenario("prefetch for the whole channel, raised and lifted", [
    queue,
    prefetch(1, true),
    consume("t"),
    ...send("1", "2", "3", "4", "5"),
    prefetch(3, true),
    prefetch(0, true),
  ]),
  scenario("prefetch for the whole channel, lowered", [
    queue,
    prefetch(3, true),
    consume("t"),
    ...send("1", "2", "3", "4"),
    prefetch(1, true),
    ack(1),
    ack(2),
    ack(3),
  ]),
  scenario("prefetch for consumers and for the channel", [
    queue,
    prefetch(3, true),
    prefetch(2),
    consume("t"),
    consume("u"),
    ...send("1", "2", "3", "4", "5"),
    ack(1),
    ack(2),
    ack(3),
  ]),
  scenario("prefetch for the whole channel, with messages from get", [
    queue,
    prefetch(1, true),
    ...send("1", "2", "3"),
    get(),
    consume("t"),
    ack(1),
    ack(2),
  ]),
  scenario("prefetch for the whole channel, without acknowledging", [
    queue,
    prefetch(1, true),
    consume("t", true),
    ...send("1", "2", "3"),
  ]),
  scenario("a full channel gets nothing without acknowledging either", [
    queue,
    consume("t", true),
    consume("u"),
    prefetch(1, true),
    ...send("1", "2", "3", "4"),
    ack(2),
    ...send("5"),
  ]),
  // Which of two queues gets the room that an acknowledgement makes is chance in RabbitMQ.
  scenario("prefetch over two queues", [
    queue,
    call("queue.declare", { queue: "~r", exclusive: true }),
    prefetch(1, true),
    consume("t"),
    call("basic.consume", { queue: "~r", consumerTag: "u" }),
    ...send("q1"),
    publish("", "~r", "r1"),
    publish("", "~r", "r2"),
    ack(1),
    ...send("q2"),
    call("queue.purge", { queue: "~r" }),
    ack(2),
    ack(3),
  ]),
  scenario("the largest prefetch", [prefetch(65_535), prefetch(65_535, true)]),
  scenario("settling makes room at once", [
    queue,
    prefetch(1),
    ...send("1", "2", "3"),
    consume("t"),
    reject(1, false),
    nack(2, false),
    ack(3),
  ]),
  scenario("a dead consumer's share is free", [
    queue,
    prefetch(1, true),
    consume("t"),
    ...send("1", "2"),
    call("basic.cancel", { consumerTag: "t" }),
    consume("u"),
    ack(1),
  ]),
];

export const settling = area("settling", [
  ...unknownTags,
  ...multiple,
  ...requeueing,
  ...recovering,
  ...getting,
  ...prefetching,
  scenario("sent without waiting", [
    queue,
    ...send("1", "2", "3"),
    together(...gets(3), ack(2, true), reject(3, true), get()),
  ]),
]);
