// ampload: a small load generator for AMQP 0-9-1 brokers, on raw sockets, one thread a connection.
// It needs a fraction of a processor where the broker needs a whole one, so that the broker is what
// is measured. One run: declare, warm up, measure, drain, print one line of JSON, delete.
//
//     cc -O2 -pthread -o ampload *.c && ./ampload --port 5672 --size 16 --time 5
#include "clock.h"
#include "failure.h"
#include "idle.h"
#include "options.h"
#include "processor-time.h"
#include "sample.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#define RUN_NS_MAX 3600000000000u
#define FINISH_NS_MAX 30000000000u
#define POLL_US 2000
#define POLLS_A_MEMORY_SAMPLE 100
#define WINDOW_POLL_US 100000
#define DRAIN_POLL_US 20000
// After the last expected delivery: time for one too many to arrive and be noticed.
#define EXCESS_US 60000

struct run run;

static void sample_memory(struct memory *memory) {
  double mib = broker_resident_mib();
  if (mib > memory->max_mib) memory->max_mib = mib;
}

static void open_connections(struct workers *workers) {
  for (int i = 0; i < options.consumers; i++) {
    struct worker *consumer = &workers->consumers[i];
    consumer->id = i;
    queue_name(consumer->queue, i % options.queues);
    consumer->connection = connection_open(INPUT_BYTES);
  }
  for (int i = 0; i < options.publishers; i++) {
    struct worker *publisher = &workers->publishers[i];
    publisher->id = i;
    queue_name(publisher->queue, i % options.queues);
    publisher->connection = connection_open(INPUT_BYTES);
    if (options.confirm_window > 0) publisher_select_confirms(publisher);
  }
}

static void start(struct worker *workers, int count, void *(*thread_main)(void *)) {
  int ready_before = atomic_load(&run.ready);
  for (int i = 0; i < count; i++)
    if (pthread_create(&workers[i].thread, NULL, thread_main, &workers[i]) != 0)
      die("cannot start a thread");
  while (atomic_load(&run.ready) < ready_before + count)
    sleep_us(200);
}

// Waits until `total` has reached `target`.
static void await_total(uint64_t (*total)(const struct workers *), const struct workers *workers,
    uint64_t target, struct memory *memory) {
  uint64_t began_ns = now_ns();
  for (unsigned polls = 0;; polls++) {
    sleep_us(POLL_US);
    uint64_t reached = total(workers);
    if (reached >= target) return;
    if (now_ns() - began_ns > RUN_NS_MAX)
      die("not done after 3600 s: %" PRIu64 " of %" PRIu64, reached, target);
    if (polls % POLLS_A_MEMORY_SAMPLE == 0) sample_memory(memory);
  }
}

// --count: from the first publish until the last is sent, or confirmed.
static void measure_count(
    const struct workers *workers, struct sample *from, struct sample *to, struct memory *memory) {
  *from = take_sample(workers);
  atomic_store(&run.measuring, true);
  atomic_store(&run.go, true);
  uint64_t target = options.count * (uint64_t)options.publishers;
  await_total(
      options.confirm_window > 0 ? total_confirmed : total_published, workers, target, memory);
  *to = take_sample(workers);
}

// The usual run: everything is going, and a window of time is cut out of that.
static void measure_window(
    const struct workers *workers, struct sample *from, struct sample *to, struct memory *memory) {
  atomic_store(&run.go, true);
  sleep_us((uint64_t)(options.warmup_s * 1e6));
  atomic_store(&run.measuring, true);
  *from = take_sample(workers);
  uint64_t end_ns = from->at_ns + (uint64_t)(options.time_s * 1e9);
  while (now_ns() < end_ns) {
    sleep_us(WINDOW_POLL_US);
    sample_memory(memory);
  }
  *to = take_sample(workers);
}

static void measure(
    const struct workers *workers, struct sample *from, struct sample *to, struct memory *memory) {
  if (options.expect > 0) {
    // A backlog is drained: time runs from before the consumers exist.
    *from = take_sample(workers);
    atomic_store(&run.measuring, true);
  }
  start(workers->consumers, options.consumers, consumer_main);
  start(workers->publishers, options.publishers, publisher_main);
  if (options.expect > 0) {
    atomic_store(&run.go, true);
    await_total(total_consumed, workers, options.expect, memory);
    *to = take_sample(workers);
  } else if (options.count > 0) {
    measure_count(workers, from, to, memory);
  } else {
    measure_window(workers, from, to, memory);
  }
  atomic_store(&run.measuring, false);
  memory->end_mib = broker_resident_mib();
}

// Ends the publishers, waits for what is on its way, ends the consumers.
static void finish(const struct workers *workers) {
  uint64_t now = now_ns();
  uint64_t drained_by_ns = now + (uint64_t)options.drain_ms * 1000000;
  uint64_t finished_by_ns = now + FINISH_NS_MAX;
  atomic_store(&run.publishing_ends, true);
  for (int i = 0; i < options.publishers; i++) {
    while (!is_set(&workers->publishers[i].finished) && now_ns() < finished_by_ns)
      sleep_us(POLL_US);
    if (!is_set(&workers->publishers[i].finished))
      fprintf(stderr, "publisher %d did not finish\n", i);
  }
  bool is_window = options.expect == 0 && options.count == 0;
  while (is_window && options.consumers > 0 && now_ns() < drained_by_ns &&
         total_consumed(workers) < expected_deliveries(workers))
    sleep_us(DRAIN_POLL_US);
  sleep_us(EXCESS_US);
  atomic_store(&run.consuming_ends, true);
  for (int i = 0; i < options.publishers; i++)
    pthread_join(workers->publishers[i].thread, NULL);
  for (int i = 0; i < options.consumers; i++)
    pthread_join(workers->consumers[i].thread, NULL);
}

static struct worker *allocate_workers(int count) {
  size_t bytes = sizeof(struct worker) * (size_t)(count + 1);
  void *memory = aligned_alloc(_Alignof(struct worker), bytes);
  if (memory == NULL) die("out of memory for workers");
  return memset(memory, 0, bytes);
}

static void run_load(void) {
  struct connection *control = connection_open(INPUT_BYTES);
  if (options.depth) {
    printf("%" PRIu64 "\n", topology_depth(control));
    connection_close(control);
    return;
  }
  if (!options.no_declare) topology_declare(control);
  struct workers workers = {
      allocate_workers(options.publishers), allocate_workers(options.consumers)};
  find_broker_processes();
  struct sample from, to;
  struct memory memory = {.start_mib = broker_resident_mib()};
  open_connections(&workers);
  measure(&workers, &from, &to, &memory);
  finish(&workers);
  print_result(&workers, &from, &to, &memory);
  for (int i = 0; i < options.consumers; i++)
    connection_close(workers.consumers[i].connection);
  for (int i = 0; i < options.publishers; i++)
    connection_close(workers.publishers[i].connection);
  if (!options.keep && !options.no_declare) topology_delete(control);
  connection_close(control);
  free(workers.publishers);
  free(workers.consumers);
}

// Thousands of connections need as many file descriptors.
static void raise_descriptor_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argument_count, char **arguments) {
  parse_options(argument_count, arguments);
  signal(SIGPIPE, SIG_IGN);
  raise_descriptor_limit();
  if (options.idle_connections > 0)
    run_idle();
  else
    run_load();
  return 0;
}
