// What the command line asks for. Read once by main() before any thread exists and constant from
// then on, which is why one global is enough.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define NAME_BYTES_MAX 64   // queue and exchange names, with their terminating zero
#define PREFIX_BYTES_MAX 40 // leaves room for "-un-" and a number
#define WORKERS_MAX 4096    // consumers check the order of messages per publisher id below this
#define IDLE_THREADS_MAX 64

struct options {
  const char *host, *user, *password, *vhost;
  const char *label;      // copied into the result
  const char *prefix;     // of the names of all queues and the exchange
  const char *queue_type; // x-queue-type; "" leaves the argument out
  const char
      *exchange; // default, or the type of an exchange that is declared: direct, fanout, topic
  int port;
  int pid; // the broker's, for its CPU and memory; 0: unknown
  int publishers, consumers, queues;
  int bindings;       // of the topic exchange, all but the last never matching
  int body_bytes;     // 16 or more: the body carries time, publisher and sequence number
  int confirm_window; // unconfirmed messages a publisher may have; 0: no confirms
  int ack_every;      // deliveries an ack; 0: automatic acknowledgement
  int prefetch;
  int batch_bytes; // how much a publisher gathers before it writes
  int drain_ms;    // how long to wait for what is still queued when the time is over
  int idle_connections, idle_threads;
  bool persistent, durable, mandatory;
  bool keep;       // leave the queues behind
  bool no_declare; // the queues exist, and stay
  bool depth;      // only print how many messages the queues hold
  double rate;     // messages a second and publisher; 0: as fast as possible
  double time_s, warmup_s;
  uint64_t count;  // messages a publisher, instead of a time
  uint64_t expect; // messages to consume in total, instead of a time
};

extern struct options options;

// Fills `options`; ends the process with 2 on a mistake.
void parse_options(int argument_count, char **arguments);

bool exchange_is(const char *type);
bool uses_default_exchange(void);
