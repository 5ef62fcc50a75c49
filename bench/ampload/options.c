// See options.h.
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct options options = {
    .host = "127.0.0.1",
    .user = "guest",
    .password = "guest",
    .vhost = "/",
    .label = "",
    .prefix = "ampload",
    .queue_type = "",
    .exchange = "default",
    .port = 5672,
    .publishers = 1,
    .consumers = 1,
    .queues = 1,
    .body_bytes = 16,
    .batch_bytes = 32768,
    .drain_ms = 8000,
    .idle_threads = 8,
    .time_s = 10,
    .warmup_s = 2,
};

enum kind { TEXT, NUMBER, BIG_NUMBER, DECIMAL, FLAG };

struct entry {
  const char *name;
  enum kind kind;
  void *value;
  const char *help;
  long max; // of a NUMBER
};

#define PORT_MAX 65535
#define COUNT_MAX 1000000000

static const struct entry entries[] = {
    {"host", TEXT, &options.host, "IPv4 address (127.0.0.1)", 0},
    {"port", NUMBER, &options.port, "AMQP port (5672)", PORT_MAX},
    {"user", TEXT, &options.user, "user (guest)", 0},
    {"vhost", TEXT, &options.vhost, "virtual host (/)", 0},
    {"pass", TEXT, &options.password, "password (guest)", 0},
    {"pid", NUMBER, &options.pid, "broker's process id, for CPU and memory (Linux)", COUNT_MAX},
    {"label", TEXT, &options.label, "copied into the result", 0},
    {"prefix", TEXT, &options.prefix, "of queue and exchange names (ampload)", 0},
    {"pubs", NUMBER, &options.publishers, "publishers (1)", WORKERS_MAX},
    {"cons", NUMBER, &options.consumers, "consumers (1)", WORKERS_MAX},
    {"queues", NUMBER, &options.queues, "queues (1)", COUNT_MAX},
    {"qtype", TEXT, &options.queue_type, "classic, quorum or stream (the broker's default)", 0},
    {"durable", FLAG, &options.durable, "durable queues", 0},
    {"exchange", TEXT, &options.exchange, "default, direct, fanout or topic (default)", 0},
    {"bindings", NUMBER, &options.bindings, "bindings of a topic exchange", COUNT_MAX},
    {"size", NUMBER, &options.body_bytes, "bytes a message (16)", COUNT_MAX},
    {"persistent", FLAG, &options.persistent, "persistent messages", 0},
    {"mandatory", FLAG, &options.mandatory, "mandatory messages", 0},
    {"confirm", NUMBER, &options.confirm_window, "confirms, at most so many open (none)",
        COUNT_MAX},
    {"ack", NUMBER, &options.ack_every, "acknowledge every so many (0: automatic)", COUNT_MAX},
    {"prefetch", NUMBER, &options.prefetch, "prefetch count (0: no limit)", 65535},
    {"batch", NUMBER, &options.batch_bytes, "bytes a write of a publisher (32768)", COUNT_MAX},
    {"rate", DECIMAL, &options.rate, "messages a second and publisher (0: no limit)", 0},
    {"time", DECIMAL, &options.time_s, "seconds to measure (10)", 0},
    {"warmup", DECIMAL, &options.warmup_s, "seconds before that (2)", 0},
    {"count", BIG_NUMBER, &options.count, "publish so many a publisher instead", 0},
    {"expect", BIG_NUMBER, &options.expect, "consume so many in total instead", 0},
    {"drain-ms", NUMBER, &options.drain_ms, "wait for what is queued at the end (8000)", COUNT_MAX},
    {"keep", FLAG, &options.keep, "leave the queues behind", 0},
    {"nodeclare", FLAG, &options.no_declare, "the queues exist already", 0},
    {"depth", FLAG, &options.depth, "only print how much the queues hold", 0},
    {"idle", NUMBER, &options.idle_connections, "only open so many connections", COUNT_MAX},
    {"idle-threads", NUMBER, &options.idle_threads, "threads that open them (8)", IDLE_THREADS_MAX},
};

#define ENTRY_COUNT ((int)(sizeof entries / sizeof *entries))

static _Noreturn void usage(void) {
  fprintf(stderr, "usage: ampload [OPTIONS]\n");
  for (int i = 0; i < ENTRY_COUNT; i++) {
    const char *value = entries[i].kind == FLAG ? "" : entries[i].kind == TEXT ? " X" : " N";
    fprintf(stderr, "  --%s%-*s%s\n", entries[i].name, 16 - (int)strlen(entries[i].name), value,
        entries[i].help);
  }
  exit(2);
}

static _Noreturn void refuse(const char *name, const char *text) {
  fprintf(stderr, "ampload: --%s cannot be %s\n", name, *text == '\0' ? "empty" : text);
  exit(2);
}

static void assign(const struct entry *entry, const char *text) {
  char *end;
  errno = 0;
  switch (entry->kind) {
  case TEXT:
    *(const char **)entry->value = text;
    return;
  case FLAG:
    *(bool *)entry->value = true;
    return;
  case NUMBER: {
    long number = strtol(text, &end, 10);
    if (end == text || *end != '\0' || number < 0 || number > entry->max) refuse(entry->name, text);
    *(int *)entry->value = (int)number;
    return;
  }
  case BIG_NUMBER: {
    unsigned long long number = strtoull(text, &end, 10);
    if (end == text || *end != '\0' || *text == '-' || errno != 0) refuse(entry->name, text);
    *(uint64_t *)entry->value = number;
    return;
  }
  case DECIMAL: {
    double number = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(number) || number < 0) refuse(entry->name, text);
    *(double *)entry->value = number;
    return;
  }
  }
}

// The label goes into JSON as it is, and names into fixed buffers and short strings.
static void check_texts(void) {
  if (strpbrk(options.label, "\"\\\n\t") != NULL) refuse("label", options.label);
  if (strlen(options.prefix) > PREFIX_BYTES_MAX) refuse("prefix", options.prefix);
  if (strlen(options.vhost) > 255) refuse("vhost", options.vhost);
  if (strlen(options.user) > 255) refuse("user", options.user);
  if (strlen(options.password) > 255) refuse("pass", "so long");
  if (strlen(options.queue_type) > 255) refuse("qtype", options.queue_type);
  if (!uses_default_exchange() && !exchange_is("direct") && !exchange_is("fanout") &&
      !exchange_is("topic"))
    refuse("exchange", options.exchange);
}

void parse_options(int argument_count, char **arguments) {
  struct option known[ENTRY_COUNT + 1];
  memset(known, 0, sizeof known);
  for (int i = 0; i < ENTRY_COUNT; i++) {
    known[i].name = entries[i].name;
    known[i].has_arg = entries[i].kind == FLAG ? no_argument : required_argument;
  }
  int index = 0;
  for (int found; (found = getopt_long(argument_count, arguments, "", known, &index)) != -1;) {
    if (found != 0) usage();
    assign(&entries[index], optarg);
  }
  if (optind < argument_count) usage();
  check_texts();
  if (options.queues < 1) refuse("queues", "0");
  if (options.idle_threads < 1) refuse("idle-threads", "0");
  if (options.batch_bytes < 1) refuse("batch", "0");
}

bool exchange_is(const char *type) {
  return strcmp(options.exchange, type) == 0;
}

bool uses_default_exchange(void) {
  return exchange_is("default");
}
