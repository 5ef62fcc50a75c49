// See topology.h.
#include "topology.h"

#include "clock.h"

#include <stdio.h>

// The queues behind the bindings of a topic exchange that never match.
#define UNMATCHED_QUEUES 10

#define BIT_PASSIVE 1
#define BIT_DURABLE 2

void queue_name(name_buffer name, int index) {
  snprintf(name, NAME_BYTES_MAX, "%s-%d", options.prefix, index);
}

static void unmatched_queue_name(name_buffer name, int index) {
  snprintf(name, NAME_BYTES_MAX, "%s-un-%d", options.prefix, index);
}

void exchange_name(name_buffer name) {
  if (uses_default_exchange())
    name[0] = '\0';
  else
    snprintf(name, NAME_BYTES_MAX, "%s-x", options.prefix);
}

void topic_routing_key(name_buffer key, int index) {
  snprintf(key, NAME_BYTES_MAX, "a.b%d.c", index);
}

static bool has_unmatched_queues(void) {
  return exchange_is("topic") && options.bindings > 0;
}

static void declare_queue(struct connection *control, const char *queue) {
  uint8_t *at = put16(begin_method(control, 1, QUEUE_DECLARE, 1024), 0);
  at = put8(put_short_string(at, queue), options.durable ? BIT_DURABLE : 0);
  uint8_t *arguments = begin_table(at);
  at = arguments;
  if (*options.queue_type != '\0') at = put_text_field(at, "x-queue-type", options.queue_type);
  end_method(control, end_table(arguments, at));
  await_method(control, QUEUE_DECLARE_OK);
}

static uint32_t queue_depth(struct connection *control, const char *queue) {
  uint8_t *at = put16(begin_method(control, 1, QUEUE_DECLARE, 1024), 0);
  at = put8(put_short_string(at, queue), BIT_PASSIVE);
  end_method(control, put32(at, 0));
  struct frame answer = await_method(control, QUEUE_DECLARE_OK);
  const uint8_t *name = answer.payload + 4;
  return get32(name + 1 + *name);
}

static void delete_queue(struct connection *control, const char *queue) {
  uint8_t *at = put16(begin_method(control, 1, QUEUE_DELETE, 300), 0);
  end_method(control, put8(put_short_string(at, queue), 0));
  await_method(control, QUEUE_DELETE_OK);
}

static void bind_queue(struct connection *control, const char *queue, const char *routing_key) {
  name_buffer exchange;
  exchange_name(exchange);
  uint8_t *at = put16(begin_method(control, 1, QUEUE_BIND, 1024), 0);
  at = put_short_string(put_short_string(at, queue), exchange);
  at = put8(put_short_string(at, routing_key), 0);
  end_method(control, put32(at, 0));
  await_method(control, QUEUE_BIND_OK);
}

static void declare_exchange(struct connection *control) {
  name_buffer name;
  exchange_name(name);
  uint8_t *at = put16(begin_method(control, 1, EXCHANGE_DECLARE, 1024), 0);
  at = put_short_string(put_short_string(at, name), options.exchange);
  at = put8(at, options.durable ? BIT_DURABLE : 0);
  end_method(control, put32(at, 0));
  await_method(control, EXCHANGE_DECLARE_OK);
}

static void delete_exchange(struct connection *control) {
  name_buffer name;
  exchange_name(name);
  uint8_t *at = put16(begin_method(control, 1, EXCHANGE_DELETE, 300), 0);
  end_method(control, put8(put_short_string(at, name), 0));
  await_method(control, EXCHANGE_DELETE_OK);
}

// Four kinds of pattern, so that neither the exact word nor the wildcards come cheap.
static void unmatched_pattern(name_buffer pattern, int index) {
  switch (index % 4) {
  case 0:
    snprintf(pattern, NAME_BYTES_MAX, "a%d.*.c%d", index, index);
    break;
  case 1:
    snprintf(pattern, NAME_BYTES_MAX, "#.z%d", index);
    break;
  case 2:
    snprintf(pattern, NAME_BYTES_MAX, "x%d.#", index);
    break;
  default:
    snprintf(pattern, NAME_BYTES_MAX, "*.y%d.*", index);
  }
}

static void bind_topics(struct connection *control) {
  name_buffer queue, pattern;
  for (int i = 0; has_unmatched_queues() && i < UNMATCHED_QUEUES; i++) {
    unmatched_queue_name(queue, i);
    declare_queue(control, queue);
  }
  uint64_t began = now_ns();
  for (int i = 0; i < options.bindings - 1; i++) {
    unmatched_pattern(pattern, i);
    unmatched_queue_name(queue, i % UNMATCHED_QUEUES);
    bind_queue(control, queue, pattern);
  }
  for (int i = 0; i < options.queues; i++) {
    queue_name(queue, i);
    bind_queue(control, queue, "a.*.c");
  }
  double seconds = (double)(now_ns() - began) / 1e9;
  fprintf(stderr, "topic: %d bindings in %.3f s\n", options.bindings, seconds);
}

void topology_declare(struct connection *control) {
  name_buffer queue;
  for (int i = 0; i < options.queues; i++) {
    queue_name(queue, i);
    declare_queue(control, queue);
  }
  if (uses_default_exchange()) return;
  declare_exchange(control);
  if (exchange_is("topic")) {
    bind_topics(control);
    return;
  }
  for (int i = 0; i < options.queues; i++) {
    queue_name(queue, i);
    bind_queue(control, queue, queue);
  }
}

void topology_delete(struct connection *control) {
  name_buffer queue;
  for (int i = 0; i < options.queues; i++) {
    queue_name(queue, i);
    delete_queue(control, queue);
  }
  for (int i = 0; has_unmatched_queues() && i < UNMATCHED_QUEUES; i++) {
    unmatched_queue_name(queue, i);
    delete_queue(control, queue);
  }
  if (!uses_default_exchange()) delete_exchange(control);
}

uint64_t topology_depth(struct connection *control) {
  uint64_t total = 0;
  name_buffer queue;
  for (int i = 0; i < options.queues; i++) {
    queue_name(queue, i);
    total += queue_depth(control, queue);
  }
  return total;
}
