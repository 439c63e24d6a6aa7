/* What annex-unpack tells, line by line: the decoder survives it, and what it takes it gives back the same. */
#include "unpack/report.h"

#include <assert.h>
#include <string.h>

enum { LAYERS = 3 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_same(const struct report *report)
{
	auto_free char *line = report_encode(report, LAYERS);
	auto_report struct report again = {0};

	assert(line && strlen(line) <= REPORT_LIMIT);
	assert(report_decode(&again, line, strlen(line) - 1, LAYERS, NULL) == 0);
	assert(again.kind == report->kind && again.layer == report->layer && again.size == report->size);
	assert(again.error == report->error && again.os == report->os && !again.text == !report->text);
	assert(!report->text || strcmp(again.text, report->text) == 0);
	assert(!report->hint || strcmp(again.hint, report->hint) == 0);
	assert(!report->done || memcmp(again.done, report->done, LAYERS * sizeof(*again.done)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *at = (const char *)data, *end = at + size;

	while (at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at)), *stop = newline ? newline : end;
		auto_error struct annex_error *err = NULL;
		auto_report struct report report = {0};

		if (report_decode(&report, at, (size_t)(stop - at), LAYERS, &err) == 0)
			check_same(&report);
		else
			assert(err);
		at = stop + 1;
	}
	return 0;
}
