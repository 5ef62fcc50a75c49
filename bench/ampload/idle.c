// See idle.h.
#include "idle.h"

#include "clock.h"
#include "connection.h"
#include "failure.h"
#include "options.h"
#include "processor-time.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#define SETTLE_US 3000000 // how long the broker gets to free what the connections held

static struct connection **connections;

static void *open_share(void *argument) {
  for (int i = (int)(intptr_t)argument; i < options.idle_connections; i += options.idle_threads)
    connections[i] = connection_open(IDLE_INPUT_BYTES);
  return NULL;
}

static void open_all(void) {
  pthread_t threads[IDLE_THREADS_MAX];
  for (intptr_t i = 0; i < options.idle_threads; i++)
    if (pthread_create(&threads[i], NULL, open_share, (void *)i) != 0) die("cannot start a thread");
  for (int i = 0; i < options.idle_threads; i++)
    pthread_join(threads[i], NULL);
}

void run_idle(void) {
  int count = options.idle_connections;
  connections = allocate_zeroed((unsigned long)count, sizeof *connections);
  find_broker_processes();
  double rss_before = broker_resident_mib(), cpu_before = broker_cpu_seconds();
  uint64_t began_ns = now_ns();
  open_all();
  uint64_t opened_ns = now_ns();
  double rss_opened = broker_resident_mib(), cpu_opened = broker_cpu_seconds();
  sleep_us((uint64_t)(options.time_s * 1e6));
  double rss_held = broker_resident_mib(), cpu_held = broker_cpu_seconds();
  uint64_t held_ns = now_ns();
  for (int i = 0; i < count; i++)
    close(connections[i]->socket);
  sleep_us(SETTLE_US);

  double open_s = (double)(opened_ns - began_ns) / 1e9;
  double hold_s = (double)(held_ns - opened_ns) / 1e9;
  printf("{\"label\":\"%s\",\"idle_conns\":%d,\"open_s\":%.3f,\"conns_per_s\":%.0f", options.label,
      count, open_s, count / open_s);
  printf(",\"cpu_us_per_open\":%.1f", (cpu_opened - cpu_before) * 1e6 / count);
  printf(",\"rss_before_mb\":%.1f,\"rss_open_mb\":%.1f,\"rss_held_mb\":%.1f", rss_before,
      rss_opened, rss_held);
  printf(",\"kib_per_conn\":%.1f", (rss_held - rss_before) * 1024 / count);
  printf(",\"idle_cpu_pct\":%.1f", (cpu_held - cpu_opened) / hold_s * 100);
  printf(",\"rss_after_close_mb\":%.1f}\n", broker_resident_mib());
}
