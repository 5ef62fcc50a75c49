/**
 * Every option of haremq-perf: RabbitMQ PerfTest's, with its short and long names, and a few of our
 * own. The command line is read by this table and `--help` is printed from it.
 */

export interface OptionSpec {
  readonly short?: string;
  readonly long: string;
  /**
   * flag: no value. value: one value. optional: a value may follow. list: one or more values, which
   * may also be given by repeating the option.
   */
  readonly kind: "flag" | "value" | "optional" | "list";
  readonly help: string;
  /** Accepted because PerfTest has it, but there is nothing in this tool that it could change. */
  readonly noEffect?: true;
}

function flag(short: string, long: string, help: string): OptionSpec {
  return { short, long, kind: "flag", help };
}

function value(short: string, long: string, help: string): OptionSpec {
  return { short, long, kind: "value", help };
}

function ignored(short: string, long: string, kind: "flag" | "value"): OptionSpec {
  return { short, long, kind, help: "accepted, without effect", noEffect: true };
}

export const optionTable: readonly OptionSpec[] = [
  flag("?", "help", "show this text"),
  flag("v", "version", "show the version"),
  value("d", "id", "test id, the beginning of every line (default: test- and the time)"),

  value("h", "uri", "broker (default: amqp://localhost)"),
  value("H", "uris", "several brokers, separated by commas, used in turn"),
  value("b", "heartbeat", "heartbeat interval in seconds (default: the broker's)"),
  value("M", "framemax", "frame-max to ask for (default: the broker's)"),

  value("x", "producers", "producers, each with a connection (default: 1)"),
  value("y", "consumers", "consumers, each with a connection (default: 1)"),
  value("X", "producer-channel-count", "channels a producer (default: 1)"),
  value("Y", "consumer-channel-count", "channels a consumer (default: 1)"),

  value("s", "size", "message size in bytes (default: 12, the least that carries a time)"),
  { short: "f", long: "flag", kind: "list", help: "persistent and/or mandatory" },
  value("mp", "message-properties", "message properties, e.g. priority=5,contentType=text/plain"),
  value("B", "body", "files to take message bodies from, separated by commas"),
  value("T", "body-content-type", "content type of these bodies"),

  value("r", "rate", "messages a second for each producer channel (default: as fast as possible)"),
  value("P", "publishing-interval", "seconds between two messages of a producer channel"),
  value("prsd", "producer-random-start-delay", "start each producer within so many seconds"),
  value("c", "confirm", "publisher confirms, with at most so many unconfirmed a channel"),
  value("ct", "confirm-timeout", "fail when no confirm comes for so many seconds (default: 30)"),
  value("m", "ptxsize", "messages a transaction of producers"),

  flag("a", "autoack", "automatic acknowledgement"),
  value("A", "multi-ack-every", "acknowledge so many messages at once"),
  value("q", "qos", "prefetch of each consumer (default: no limit)"),
  value("Q", "global-qos", "prefetch of each channel (default: no limit)"),
  value("R", "consumer-rate", "messages a second for each consumer channel"),
  value("L", "consumer-latency", "microseconds that consumers spend on a message"),
  value("n", "ctxsize", "acknowledgements a transaction of consumers"),
  flag("S", "slow-start", "start consumers one a second"),

  value("t", "type", "exchange type (default: direct)"),
  {
    short: "e",
    long: "exchange",
    kind: "optional",
    help: "exchange (default: one named for its type; no name: the default exchange)",
  },
  value("u", "queue", "queues, separated by commas (default: one a consumer, named by the broker)"),
  value("k", "routing-key", "routing key (default: a random one, or the queue of a pattern)"),
  flag("K", "random-routing-key", "another routing key for each message"),
  flag("sb", "skip-binding-queues", "do not bind queues to the exchange"),
  flag("p", "predeclared", "use exchange and queues that exist already"),
  flag("E", "exclusive", "exclusive queues, one for each consumer"),
  value("ad", "auto-delete", "auto-delete queues, true or false (default: true)"),
  value("qa", "queue-args", "queue arguments, e.g. x-max-length=10,x-queue-type=quorum"),
  flag("qq", "quorum-queue", "quorum queues: durable, persistent, not auto-delete"),
  value("qp", "queue-pattern", "names of many queues, e.g. perf-%03d"),
  value("qpf", "queue-pattern-from", "first number of the pattern"),
  value("qpt", "queue-pattern-to", "last number of the pattern"),

  value("z", "time", "seconds to run (default: until interrupted)"),
  value("C", "pmessages", "end when each producer channel has sent so many"),
  value("D", "cmessages", "end when each consumer channel has received so many"),
  value("st", "shutdown-timeout", "seconds to wait for connections to close (default: 5)"),

  value("i", "interval", "seconds between two lines (default: 1)"),
  flag("l", "legacy-metrics", "show min/avg/max latency instead of percentiles"),
  flag("ms", "use-millis", "latency in milliseconds of wall time, for clocks of two machines"),
  value("o", "output-file", "file for the figures as comma-separated values"),
  {
    long: "json",
    kind: "optional",
    help: "file for all figures as JSON; no name: standard output, and lines to standard error",
  },

  ignored("hst", "heartbeat-sender-threads", "value"),
  ignored("pst", "producer-scheduler-threads", "value"),
  ignored("niot", "nio-threads", "value"),
  ignored("niotp", "nio-thread-pool", "value"),
  ignored("ctp", "consumers-thread-pools", "value"),
  ignored("rkcs", "routing-key-cache-size", "value"),
  ignored("udsc", "use-default-ssl-context", "flag"),
  ignored("dcr", "disable-connection-recovery", "flag"),
];

const helpColumn = 38;
const helpColumns = 100;

/** The text of --help. */
export function helpText(): string {
  const lines = ["usage: haremq-perf [OPTIONS]", ""];
  for (const { short, long, kind, help } of optionTable) {
    const argument = { flag: "", value: " VALUE", optional: " [VALUE]", list: " VALUE..." }[kind];
    const names = short === undefined ? `--${long}` : `-${short}, --${long}`;
    lines.push(...wrap(`  ${names}${argument}`, help));
  }
  lines.push("", "Options and figures are those of RabbitMQ PerfTest.");
  return `${lines.join("\n")}\n`;
}

/** The option and its explanation, in two columns. */
function wrap(left: string, right: string): string[] {
  const lines = [left.length < helpColumn ? left.padEnd(helpColumn) : `${left}  `];
  for (const word of right.split(" ")) {
    const line = lines[lines.length - 1] as string;
    if (line.length + word.length < helpColumns) lines[lines.length - 1] = `${line}${word} `;
    else lines.push(`${" ".repeat(helpColumn)}${word} `);
  }
  return lines.map((line) => line.trimEnd());
}
