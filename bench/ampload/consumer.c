// A consumer's thread: reads deliveries, checks their order, acknowledges.
#include "clock.h"
#include "failure.h"
#include "options.h"
#include "worker.h"

#include <poll.h>
#include <stdlib.h>

#define WAIT_MS 50
#define BIT_NO_ACK 2
#define CONSUMER_TAG "ctag-ampload"

enum expected { DELIVER, HEADER, BODY };

struct consumer {
  struct worker *worker;
  struct connection *connection;
  enum expected expected; // the kind of frame that comes next on the channel
  uint64_t delivery_tag;
  bool redelivered;
  uint64_t body_bytes, body_received;
  uint64_t received, unacknowledged;
  uint64_t arrived_ns;     // when the octets being parsed were received
  uint32_t *next_sequence; // by publisher
};

static void send_qos(struct connection *connection) {
  uint8_t *at = put32(begin_method(connection, 1, BASIC_QOS, 16), 0);
  end_method(connection, put8(put16(at, (unsigned)options.prefetch), 0));
  await_method(connection, BASIC_QOS_OK);
}

static void send_consume(struct connection *connection, const char *queue) {
  uint8_t *at = put16(begin_method(connection, 1, BASIC_CONSUME, 512), 0);
  at = put_short_string(put_short_string(at, queue), CONSUMER_TAG);
  at = put8(at, options.ack_every > 0 ? 0 : BIT_NO_ACK);
  uint8_t *arguments = begin_table(at);
  at = arguments;
  if (strcmp(options.queue_type, "stream") == 0)
    at = put_text_field(at, "x-stream-offset", options.expect > 0 ? "first" : "next");
  end_method(connection, end_table(arguments, at));
}

static void subscribe(struct consumer *consumer) {
  struct connection *connection = consumer->connection;
  if (options.ack_every > 0 && options.prefetch > 0) send_qos(connection);
  send_consume(connection, consumer->worker->queue);
  // Draining a backlog is measured from its first delivery: those must not be skipped on the way to
  // consume-ok, which the main loop then passes over.
  if (options.expect > 0)
    connection_flush_all(connection);
  else
    await_method(connection, BASIC_CONSUME_OK);
}

static void acknowledge(struct consumer *consumer, bool multiple) {
  uint8_t *at = begin_method(consumer->connection, 1, BASIC_ACK, 16);
  end_method(consumer->connection, put8(put64(at, consumer->delivery_tag), multiple ? 1 : 0));
  consumer->unacknowledged = 0;
}

static void on_method(struct consumer *consumer, const struct frame *frame) {
  switch (frame_method_id(frame)) {
  case BASIC_DELIVER: {
    const uint8_t *consumer_tag = frame->payload + 4;
    const uint8_t *after_tag = consumer_tag + 1 + *consumer_tag;
    consumer->delivery_tag = get64(after_tag);
    consumer->redelivered = after_tag[8] != 0;
    consumer->expected = HEADER;
    break;
  }
  case BASIC_CANCEL:
    die("consumer cancelled by server");
  default:
    check_close(frame);
  }
}

static void on_message_end(struct consumer *consumer) {
  consumer->expected = DELIVER;
  consumer->received++;
  if (consumer->redelivered) consumer->worker->redelivered++;
  if (options.ack_every == 0) return;
  if (++consumer->unacknowledged >= (uint64_t)options.ack_every)
    acknowledge(consumer, options.ack_every > 1);
}

static void check_stamp(struct consumer *consumer, const uint8_t *body) {
  uint64_t sent_ns;
  uint32_t publisher, sequence;
  memcpy(&sent_ns, body, 8);
  memcpy(&publisher, body + 8, 4);
  memcpy(&sequence, body + 12, 4);
  uint64_t arrived_ns = consumer->arrived_ns;
  if (is_set(&run.measuring))
    histogram_add(&consumer->worker->latencies, arrived_ns > sent_ns ? arrived_ns - sent_ns : 0);
  if (publisher >= WORKERS_MAX) return;
  uint32_t *next = &consumer->next_sequence[publisher];
  if (sequence < *next)
    consumer->worker->disordered++;
  else
    *next = sequence + 1;
}

static void on_frame(struct consumer *consumer, const struct frame *frame) {
  if (frame->type == FRAME_METHOD) {
    on_method(consumer, frame);
  } else if (frame->type == FRAME_HEADER && consumer->expected == HEADER) {
    consumer->body_bytes = get64(frame->payload + 4);
    consumer->body_received = 0;
    consumer->expected = BODY;
    if (consumer->body_bytes == 0) on_message_end(consumer);
  } else if (frame->type == FRAME_BODY && consumer->expected == BODY) {
    if (consumer->body_received == 0 && frame->length >= STAMP_BYTES)
      check_stamp(consumer, frame->payload);
    consumer->body_received += frame->length;
    if (consumer->body_received >= consumer->body_bytes) on_message_end(consumer);
  }
}

static void read_deliveries(struct consumer *consumer) {
  struct connection *connection = consumer->connection;
  if (connection_receive(connection) == 0) return;
  consumer->arrived_ns = now_ns();
  for (struct frame frame; next_frame(connection, &frame);)
    on_frame(consumer, &frame);
  atomic_store_explicit(&consumer->worker->messages, consumer->received, memory_order_relaxed);
  if (connection->out_end > 0) connection_flush(connection);
}

void *consumer_main(void *argument) {
  struct worker *worker = argument;
  struct consumer consumer = {.worker = worker, .connection = worker->connection};
  struct connection *connection = worker->connection;
  consumer.next_sequence = allocate_zeroed(WORKERS_MAX, sizeof *consumer.next_sequence);
  subscribe(&consumer);
  atomic_fetch_add(&run.ready, 1);
  for (;;) {
    short events = connection->out_end > connection->out_start ? POLLIN | POLLOUT : POLLIN;
    struct pollfd waiting = {connection->socket, events, 0};
    int count = poll(&waiting, 1, WAIT_MS);
    if (is_set(&run.consuming_ends)) break;
    if (count <= 0) {
      // Nothing more comes until the broker gets credit for the rest of an incomplete group.
      if (consumer.unacknowledged > 0) {
        acknowledge(&consumer, true);
        connection_flush(connection);
      }
      continue;
    }
    if ((waiting.revents & POLLOUT) != 0) connection_flush(connection);
    read_deliveries(&consumer);
  }
  if (consumer.unacknowledged > 0) acknowledge(&consumer, true);
  connection_flush_all(connection);
  free(consumer.next_sequence);
  atomic_store(&worker->finished, true);
  return NULL;
}
