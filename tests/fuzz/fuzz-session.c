#include "base/text.h"
#include "machine/piece.h"
#include "machine/session.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Places are in order, of two streams, and say the same when they are written again. */
static void check_places(const char *bytes, size_t size)
{
	struct piece_places places = {0}, again = {0};
	auto_text struct text text = {0};
	size_t used = 0;

	if (piece_places_parse(&places, &used, bytes, size) < 0)
		__builtin_trap();
	assert(used <= size);
	for (size_t i = 0; i < places.count; i++) {
		assert(i == 0 || places.items[i].offset >= places.items[i - 1].offset);
		piece_place_format(&text, &places.items[i]);
	}
	if (text.data && piece_places_parse(&again, &used, text.data, text.size) < 0)
		__builtin_trap();
	assert(again.count == places.count);
	piece_places_clear(&places);
	piece_places_clear(&again);
}

static void check_record(const char *bytes, size_t size)
{
	auto_session_record struct session_record record = {0}, again = {0};
	auto_json json_t *value = NULL, *encoded = NULL;

	if (json_parse(&value, bytes, size, "session", NULL) < 0 ||
	    session_record_decode(&record, value, "session", NULL) < 0)
		return;
	assert(strlen(record.id) == SESSION_ID_DIGITS && !strchr(record.id, '/'));
	encoded = session_record_encode(&record);
	if (!encoded || session_record_decode(&again, encoded, "session", NULL) < 0)
		__builtin_trap();
	assert(strcmp(again.id, record.id) == 0 && again.started == record.started);
}

/* What is kept of sessions: their records, and the times of what they wrote. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_places((const char *)data, size);
	check_record((const char *)data, size);
	return 0;
}
