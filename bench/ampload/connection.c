// See connection.h.
#include "connection.h"

#include "failure.h"
#include "options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0 // main() ignores SIGPIPE where this does not exist
#endif

#define ANSWER_TIMEOUT_MS 60000
#define FRAME_BYTES_MAX 131072
#define CHANNELS_MAX 2047

void connection_reserve(struct connection *connection, size_t bytes) {
  if (connection->out_end + bytes <= connection->out_capacity) return;
  connection->out_capacity = (connection->out_end + bytes) * 2;
  connection->out = realloc(connection->out, connection->out_capacity);
  if (connection->out == NULL) die("out of memory for output");
}

bool connection_flush(struct connection *connection) {
  while (connection->out_start < connection->out_end) {
    ssize_t sent = send(connection->socket, connection->out + connection->out_start,
        connection->out_end - connection->out_start, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) {
      if (errno == EAGAIN) return false;
      if (errno == EINTR) continue;
      die("send: %s", strerror(errno));
    }
    connection->out_start += (size_t)sent;
  }
  connection->out_start = connection->out_end = 0;
  return true;
}

void connection_flush_all(struct connection *connection) {
  while (!connection_flush(connection)) {
    struct pollfd waiting = {connection->socket, POLLOUT, 0};
    poll(&waiting, 1, 1000);
  }
}

size_t connection_receive(struct connection *connection) {
  if (connection->in_start > 0) {
    connection->in_end -= connection->in_start;
    memmove(connection->in, connection->in + connection->in_start, connection->in_end);
    connection->in_start = 0;
  }
  size_t room = connection->in_capacity - connection->in_end;
  if (room == 0) die("a frame is larger than the input buffer");
  ssize_t received =
      recv(connection->socket, connection->in + connection->in_end, room, MSG_DONTWAIT);
  if (received == 0) die("connection closed by peer");
  if (received < 0) {
    if (errno == EAGAIN || errno == EINTR) return 0;
    die("recv: %s", strerror(errno));
  }
  connection->in_end += (size_t)received;
  return (size_t)received;
}

void die_of_bad_frame(void) {
  die("bad frame end");
}

uint8_t *begin_method(
    struct connection *connection, uint16_t channel, uint32_t method_id, size_t argument_bytes) {
  connection_reserve(connection, argument_bytes + 16);
  uint8_t *at = connection->out + connection->out_end;
  at = put16(put8(at, FRAME_METHOD), channel);
  return put32(at + 4, method_id);
}

void end_method(struct connection *connection, uint8_t *end) {
  uint8_t *frame = connection->out + connection->out_end;
  put32(frame + 3, (uint32_t)(end - (frame + 7)));
  connection->out_end = (size_t)(put8(end, FRAME_END) - connection->out);
}

void check_close(const struct frame *frame) {
  uint32_t id = frame_method_id(frame);
  if (id != CONNECTION_CLOSE && id != CHANNEL_CLOSE) return;
  const uint8_t *code = frame->payload + 4;
  die("server closed: %d %.*s", get16(code), code[2], (const char *)code + 3);
}

struct frame await_method(struct connection *connection, uint32_t method_id) {
  connection_flush_all(connection);
  for (;;) {
    struct frame frame;
    while (next_frame(connection, &frame)) {
      if (frame.type != FRAME_METHOD) continue;
      if (frame_method_id(&frame) == method_id) return frame;
      check_close(&frame);
    }
    struct pollfd waiting = {connection->socket, POLLIN, 0};
    if (poll(&waiting, 1, ANSWER_TIMEOUT_MS) <= 0)
      die("timeout waiting for %u.%u", method_id >> 16, method_id & 0xFFFF);
    connection_receive(connection);
  }
}

static void connect_socket(struct connection *connection) {
  connection->socket = socket(AF_INET, SOCK_STREAM, 0);
  if (connection->socket < 0) die("socket: %s", strerror(errno));
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)options.port)};
  if (inet_pton(AF_INET, options.host, &address.sin_addr) != 1)
    die("host must be an IPv4 address, not %s", options.host);
  if (connect(connection->socket, (struct sockaddr *)&address, sizeof address) != 0)
    die("connect %s:%d: %s", options.host, options.port, strerror(errno));
  int on = 1;
  setsockopt(connection->socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static void send_start_ok(struct connection *connection) {
  static const char *const capabilities[] = {"publisher_confirms", "basic.nack",
      "consumer_cancel_notify", "connection.blocked", "authentication_failure_close"};
  uint8_t *at = begin_method(connection, 0, CONNECTION_START_OK, 2048);
  uint8_t *properties = begin_table(at);
  at = put_text_field(properties, "product", "ampload");
  uint8_t *inner = begin_table(put8(put_short_string(at, "capabilities"), 'F'));
  at = inner;
  for (size_t i = 0; i < sizeof capabilities / sizeof *capabilities; i++)
    at = put_true_field(at, capabilities[i]);
  at = end_table(properties, end_table(inner, at));
  at = put_short_string(at, "PLAIN");
  size_t user_bytes = strlen(options.user), password_bytes = strlen(options.password);
  at = put32(at, (uint32_t)(user_bytes + password_bytes + 2));
  at = put_bytes(put8(at, 0), options.user, user_bytes);
  at = put_bytes(put8(at, 0), options.password, password_bytes);
  end_method(connection, put_short_string(at, "en_US"));
}

// Takes the broker's limits, but frames of at most 128 KiB, and asks for no heartbeats: a busy
// worker would have to keep count of them.
static void answer_tune(struct connection *connection) {
  struct frame tune = await_method(connection, CONNECTION_TUNE);
  uint16_t channels = get16(tune.payload + 4);
  uint32_t frame_bytes = get32(tune.payload + 6);
  if (frame_bytes == 0 || frame_bytes > FRAME_BYTES_MAX) frame_bytes = FRAME_BYTES_MAX;
  if (channels == 0 || channels > CHANNELS_MAX) channels = CHANNELS_MAX;
  connection->frame_bytes_max = frame_bytes;
  uint8_t *at = begin_method(connection, 0, CONNECTION_TUNE_OK, 16);
  end_method(connection, put16(put32(put16(at, channels), frame_bytes), 0));
}

struct connection *connection_open(size_t input_bytes) {
  struct connection *connection = allocate_zeroed(1, sizeof *connection);
  connection->in_capacity = input_bytes;
  connection->in = allocate(input_bytes);
  connection->out_capacity = 4096;
  connection->out = allocate(connection->out_capacity);
  connect_socket(connection);

  connection->out_end = 8;
  memcpy(connection->out, "AMQP\0\0\x09\x01", connection->out_end);
  await_method(connection, CONNECTION_START);
  send_start_ok(connection);
  answer_tune(connection);
  uint8_t *at = begin_method(connection, 0, CONNECTION_OPEN, 300);
  end_method(connection, put16(put_short_string(at, options.vhost), 0));
  await_method(connection, CONNECTION_OPEN_OK);
  end_method(connection, put8(begin_method(connection, 1, CHANNEL_OPEN, 8), 0));
  await_method(connection, CHANNEL_OPEN_OK);
  return connection;
}

void connection_close(struct connection *connection) {
  uint8_t *at = begin_method(connection, 0, CONNECTION_CLOSE, 64);
  at = put_short_string(put16(at, 200), "bye");
  end_method(connection, put32(at, 0));
  await_method(connection, CONNECTION_CLOSE_OK);
  close(connection->socket);
  free(connection->in);
  free(connection->out);
  free(connection);
}
