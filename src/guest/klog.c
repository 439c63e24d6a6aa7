#include "guest/klog.h"

#include "base/text.h"
#include "base/time.h"

#include <fcntl.h>
#include <string.h>

enum { RECORD_MAX = 8192, RECORDS_PER_TURN = 64 };

struct klog {
	int fd;
	struct loop_source *source;
	struct link *link;
	size_t left; /* bytes that may be sent */
	uint64_t refilled_ms;
	bool dropping;
};

/* "PRIORITY,SEQUENCE,MICROSECONDS,FLAGS[,…];TEXT\n KEY=VALUE\n…" */
bool klog_format(struct text *out, const char *record, size_t size)
{
	const char *text = memchr(record, ';', size), *end;
	auto_free char *head = text ? strndup(record, (size_t)(text - record)) : NULL;
	char *at = head, *field = NULL;
	uint64_t time = 0;

	for (int i = 0; i < 3 && at; i++)
		field = strsep(&at, ",");
	if (!field || !at || text_to_u64(&time, field, 10) < 0)
		return false;
	text++;
	end = memchr(text, '\n', size - (size_t)(text - record));
	text_printf(out, "[%5llu.%06llu] %.*s\n", (unsigned long long)(time / 1000000),
		    (unsigned long long)(time % 1000000), (int)((end ? end : record + size) - text), text);
	return true;
}

static bool may_send(struct klog *klog, size_t size)
{
	uint64_t now = time_monotonic_ms();

	if (now - klog->refilled_ms >= KLOG_REFILL_MS) {
		klog->refilled_ms = now;
		klog->left = KLOG_BURST_MAX;
	}
	if (size > klog->left)
		return false;
	klog->left -= size;
	return true;
}

static void send_lines(struct klog *klog, struct text *lines)
{
	static const char dropped[] = "(messages dropped)\n";

	if (lines->size == 0 || !text_ok(lines))
		return;
	if (!may_send(klog, lines->size)) {
		if (!klog->dropping)
			link_send_data(klog->link, MESSAGE_LOG, 0, dropped, strlen(dropped));
		klog->dropping = true;
		return;
	}
	klog->dropping = false;
	link_send_data(klog->link, MESSAGE_LOG, 0, lines->data, lines->size);
}

static void on_record(struct loop_source *source, int fd, uint32_t events, void *data)
{
	struct klog *klog = data;
	auto_text struct text lines = {0};
	char record[RECORD_MAX];

	(void)source;
	(void)events;
	for (int i = 0; i < RECORDS_PER_TURN; i++) {
		ssize_t n = read(fd, record, sizeof(record));

		if (n < 0 && errno == EPIPE) /* some were overwritten before they were read */
			continue;
		if (n <= 0)
			break;
		klog_format(&lines, record, (size_t)n);
		if (lines.size > MESSAGE_DATA_MAX) {
			send_lines(klog, &lines);
			text_clear(&lines);
		}
	}
	send_lines(klog, &lines);
}

int klog_new(struct klog **ret, struct loop *loop, struct link *link)
{
	struct klog *klog = calloc(1, sizeof(*klog));
	int result;

	if (!klog)
		return -ENOMEM;
	*klog = (struct klog){.fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC),
			      .link = link,
			      .left = KLOG_BURST_MAX,
			      .refilled_ms = time_monotonic_ms()};
	result = klog->fd < 0 ? -errno : loop_add_fd(&klog->source, loop, klog->fd, EPOLLIN, on_record, klog);
	if (result < 0) {
		klog_free(klog);
		return result;
	}
	*ret = klog;
	return 0;
}

void klog_free(struct klog *klog)
{
	if (!klog)
		return;
	loop_source_free(klog->source);
	cleanup_close(&klog->fd);
	free(klog);
}
