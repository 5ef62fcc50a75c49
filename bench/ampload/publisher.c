// A publisher's thread. It copies ready-made frames into its output until a batch is full, sends
// without waiting, and reads confirms in between. The message is stamped when it is composed.
#define _GNU_SOURCE // ppoll
#include "clock.h"
#include "failure.h"
#include "options.h"
#include "worker.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

// With a rate limit, a message that is later than this counts from when it was due: a broker that
// stalls must not look fast because it was sent less.
#define LATE_NS 2000000
#define WAIT_NS_MAX 50000000
// Without confirms nothing but a close or a return is ever read: looking every so often is enough.
#define LOOPS_A_READ 16
#define PROPERTY_DELIVERY_MODE 0x1000

// The three frames of a message with one routing key, complete but for the stamp in the body.
struct template {
  uint8_t *bytes;
  size_t length, body_offset;
};

struct publisher {
  struct worker *worker;
  struct connection *connection;
  struct template *templates;
  unsigned template_count;
  uint64_t sequence; // of the next message, which has delivery tag sequence + 1
  uint64_t limit;
  uint64_t interval_ns, due_ns;
  // When each unconfirmed message was sent, by sequence number; 0 once it is confirmed.
  uint64_t *sent_ns;
  uint64_t sent_mask;
  uint64_t confirmed, oldest_unconfirmed;
  unsigned loops;
};

static struct template make_template(
    const char *exchange, const char *routing_key, uint32_t frame_bytes_max) {
  size_t body_bytes = (size_t)options.body_bytes;
  size_t frame_body_max = frame_bytes_max - FRAME_OVERHEAD;
  struct template template = {0};
  template.bytes = allocate(body_bytes + 4096 + (body_bytes / frame_body_max + 2) * FRAME_OVERHEAD);

  uint8_t *frame = template.bytes;
  uint8_t *at = put16(put8(frame, FRAME_METHOD), 1) + 4;
  at = put16(put32(at, BASIC_PUBLISH), 0);
  at = put_short_string(put_short_string(at, exchange), routing_key);
  at = put8(at, options.mandatory ? 1 : 0);
  put32(frame + 3, (uint32_t)(at - (frame + 7)));
  at = put8(at, FRAME_END);

  at = put32(put16(put8(at, FRAME_HEADER), 1), 15);
  at = put64(put16(put16(at, CLASS_BASIC), 0), body_bytes);
  at = put8(put16(at, PROPERTY_DELIVERY_MODE), options.persistent ? 2 : 1);
  at = put8(at, FRAME_END);

  for (size_t left = body_bytes; left > 0;) {
    size_t part = left < frame_body_max ? left : frame_body_max;
    at = put32(put16(put8(at, FRAME_BODY), 1), (uint32_t)part);
    if (left == body_bytes) template.body_offset = (size_t)(at - template.bytes);
    memset(at, 'x', part);
    at = put8(at + part, FRAME_END);
    left -= part;
  }
  template.length = (size_t)(at - template.bytes);
  return template;
}

static void make_templates(struct publisher *publisher) {
  name_buffer exchange, key;
  exchange_name(exchange);
  publisher->template_count = exchange_is("topic") ? TOPIC_KEYS : 1;
  publisher->templates = allocate_zeroed(publisher->template_count, sizeof *publisher->templates);
  for (unsigned i = 0; i < publisher->template_count; i++) {
    topic_routing_key(key, (int)i);
    publisher->templates[i] =
        make_template(exchange, exchange_is("topic") ? key : publisher->worker->queue,
            publisher->connection->frame_bytes_max);
  }
}

static void prepare(struct publisher *publisher, struct worker *worker) {
  *publisher = (struct publisher){
      .worker = worker,
      .connection = worker->connection,
      .limit = options.count > 0 ? options.count : UINT64_MAX,
      .interval_ns = options.rate > 0 ? (uint64_t)(1e9 / options.rate) : 0,
  };
  make_templates(publisher);
  uint64_t slots = 65536;
  while (slots < (uint64_t)options.confirm_window * 4)
    slots *= 2;
  publisher->sent_ns = allocate_zeroed(slots, sizeof *publisher->sent_ns);
  publisher->sent_mask = slots - 1;
  connection_reserve(publisher->connection,
      (size_t)options.batch_bytes + publisher->templates[0].length * 2 + 65536);
}

static bool window_is_full(const struct publisher *publisher) {
  return options.confirm_window > 0 &&
         publisher->sequence - publisher->confirmed >= (uint64_t)options.confirm_window;
}

static void compose(struct publisher *publisher, uint64_t stamp_ns) {
  const struct template *template =
      &publisher->templates[publisher->sequence % publisher->template_count];
  struct connection *connection = publisher->connection;
  connection_reserve(connection, template->length);
  uint8_t *bytes = connection->out + connection->out_end;
  memcpy(bytes, template->bytes, template->length);
  if (options.body_bytes >= STAMP_BYTES) {
    uint8_t *body = bytes + template->body_offset;
    uint32_t id = (uint32_t)publisher->worker->id, sequence = (uint32_t)publisher->sequence;
    memcpy(body, &stamp_ns, 8);
    memcpy(body + 8, &id, 4);
    memcpy(body + 12, &sequence, 4);
  }
  connection->out_end += template->length;
  publisher->sent_ns[publisher->sequence & publisher->sent_mask] = stamp_ns;
  publisher->sequence++;
}

static void compose_batch(struct publisher *publisher) {
  struct connection *connection = publisher->connection;
  while (connection->out_end < (size_t)options.batch_bytes &&
         publisher->sequence < publisher->limit && !window_is_full(publisher)) {
    uint64_t stamp_ns = now_ns();
    if (publisher->interval_ns > 0) {
      if (stamp_ns < publisher->due_ns) break;
      if (stamp_ns - publisher->due_ns > LATE_NS) stamp_ns = publisher->due_ns;
      publisher->due_ns += publisher->interval_ns;
    }
    compose(publisher, stamp_ns);
  }
}

static void confirm_one(struct publisher *publisher, uint64_t sequence, uint64_t at_ns) {
  uint64_t *sent_ns = &publisher->sent_ns[sequence & publisher->sent_mask];
  if (*sent_ns == 0) return;
  if (is_set(&run.measuring)) histogram_add(&publisher->worker->latencies, at_ns - *sent_ns);
  *sent_ns = 0;
  publisher->confirmed++;
}

static void on_confirm(struct publisher *publisher, const uint8_t *arguments, uint64_t at_ns) {
  uint64_t tag = get64(arguments);
  bool multiple = (arguments[8] & 1) != 0;
  if (multiple) {
    uint64_t end = tag > 0 ? tag : publisher->sequence;
    for (; publisher->oldest_unconfirmed < end; publisher->oldest_unconfirmed++)
      confirm_one(publisher, publisher->oldest_unconfirmed, at_ns);
  } else {
    confirm_one(publisher, tag - 1, at_ns);
    while (publisher->oldest_unconfirmed < publisher->sequence &&
           publisher->sent_ns[publisher->oldest_unconfirmed & publisher->sent_mask] == 0)
      publisher->oldest_unconfirmed++;
  }
  atomic_store_explicit(&publisher->worker->confirmed, publisher->confirmed, memory_order_relaxed);
}

static void read_answers(struct publisher *publisher) {
  struct connection *connection = publisher->connection;
  if (connection_receive(connection) == 0) return;
  uint64_t at_ns = now_ns();
  for (struct frame frame; next_frame(connection, &frame);) {
    if (frame.type != FRAME_METHOD) continue;
    switch (frame_method_id(&frame)) {
    case BASIC_NACK:
      publisher->worker->nacked++;
      on_confirm(publisher, frame.payload + 4, at_ns);
      break;
    case BASIC_ACK:
      on_confirm(publisher, frame.payload + 4, at_ns);
      break;
    case BASIC_RETURN:
      publisher->worker->returned++;
      break;
    case CONNECTION_BLOCKED:
      fprintf(stderr, "connection.blocked\n");
      break;
    default:
      check_close(&frame);
    }
  }
}

// Sleeps until there is something to read, room to write, or the next message is due. Returns
// whether there is something to read.
static bool wait_for_socket(const struct publisher *publisher, bool output_is_full, bool may_send) {
  short events = output_is_full ? POLLIN | POLLOUT : POLLIN;
  struct pollfd waiting = {publisher->connection->socket, events, 0};
  uint64_t wait_ns = WAIT_NS_MAX;
  if (may_send && publisher->interval_ns > 0) {
    uint64_t now = now_ns();
    uint64_t until_due_ns = publisher->due_ns > now ? publisher->due_ns - now : 0;
    if (until_due_ns < wait_ns) wait_ns = until_due_ns;
  }
#ifdef __linux__
  struct timespec timeout = {0, (long)wait_ns};
  ppoll(&waiting, 1, &timeout, NULL);
#else
  poll(&waiting, 1, (int)(wait_ns / 1000000));
#endif
  return (waiting.revents & POLLIN) != 0;
}

// One turn: compose, send, and read what has come back. False when the publisher is done.
static bool turn(struct publisher *publisher) {
  struct connection *connection = publisher->connection;
  bool ends = is_set(&run.publishing_ends) || publisher->sequence >= publisher->limit;
  if (!ends && connection->out_end == connection->out_start) compose_batch(publisher);
  bool output_is_full = !connection_flush(connection);
  atomic_store_explicit(&publisher->worker->messages, publisher->sequence, memory_order_relaxed);

  ends = is_set(&run.publishing_ends) || publisher->sequence >= publisher->limit;
  bool all_confirmed = options.confirm_window == 0 || publisher->confirmed >= publisher->sequence;
  if (ends && !output_is_full && all_confirmed) return false;
  if (is_set(&run.consuming_ends)) return false; // nobody waits for the missing confirms any more

  bool is_held = output_is_full || window_is_full(publisher) || ends;
  if (is_held || publisher->interval_ns > 0) {
    if (!wait_for_socket(publisher, output_is_full, !is_held)) return true;
  } else if (options.confirm_window == 0 && ++publisher->loops % LOOPS_A_READ != 0) {
    return true;
  }
  read_answers(publisher);
  return true;
}

void publisher_select_confirms(struct worker *worker) {
  end_method(worker->connection, put8(begin_method(worker->connection, 1, CONFIRM_SELECT, 8), 0));
  await_method(worker->connection, CONFIRM_SELECT_OK);
}

void *publisher_main(void *worker) {
  struct publisher publisher;
  prepare(&publisher, worker);
#ifdef __linux__
  prctl(PR_SET_TIMERSLACK, 1); // by default the kernel lets sleeps run 50 us late
#endif
  atomic_fetch_add(&run.ready, 1);
  while (!is_set(&run.go))
    sleep_us(200);
  // Publishers with a rate begin spread over one interval instead of all at once.
  uint64_t shift_ns = publisher.interval_ns * (uint64_t)publisher.worker->id;
  publisher.due_ns = now_ns() + shift_ns / (uint64_t)options.publishers;
  while (turn(&publisher)) {
  }
  for (unsigned i = 0; i < publisher.template_count; i++)
    free(publisher.templates[i].bytes);
  free(publisher.templates);
  free(publisher.sent_ns);
  atomic_store(&publisher.worker->finished, true);
  return NULL;
}
