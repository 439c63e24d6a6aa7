#include "forward/offer.h"

#include <string.h>

bool offer_parse(struct offer *ret, const char *text)
{
	bool listens = text_starts(text, WIRE_FORWARD_LISTEN);

	if (strcmp(text, WIRE_FORWARD_AGENT) == 0) {
		*ret = (struct offer){.agent = true, .by_guest = true, .path = ""};
		return true;
	}
	if (!listens && !text_starts(text, WIRE_FORWARD_CONNECT))
		return false;
	*ret = (struct offer){.by_guest = listens, .path = strchr(text, ':') + 1};
	return *ret->path == '/';
}

int offer_count(const char *const *forwards)
{
	struct offer offer;
	int count = 0;

	for (; forwards && forwards[count]; count++) {
		if (count == (int)WIRE_FORWARDS_MAX || !offer_parse(&offer, forwards[count]))
			return -EPROTO;
	}
	return count;
}
