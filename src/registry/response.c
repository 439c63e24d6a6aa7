#include "registry/response.h"

#include <string.h>
#include <strings.h>

struct header_row {
	const char *name;
	size_t offset;
};
#define HEADER(header, field)                                 \
	{                                                     \
		header, offsetof(struct http_response, field) \
	}

static const struct header_row header_rows[] = {
	HEADER("content-type", content_type),
	HEADER("docker-content-digest", content_digest),
	HEADER("content-range", content_range),
	HEADER("content-encoding", content_encoding),
	HEADER("content-length", content_length),
	HEADER("etag", etag),
	HEADER("location", location),
	HEADER("retry-after", retry_after),
};

void http_response_clear(struct http_response *response)
{
	for (size_t i = 0; i < COUNT_OF(header_rows); i++)
		free(*(char **)((char *)response + header_rows[i].offset));
	text_list_clear(&response->challenges);
	text_clear(&response->body);
	*response = (struct http_response){0};
}

int response_keep_header(struct http_response *response, const char *line, size_t size)
{
	const char *colon = memchr(line, ':', size), *end = line + size, *at;
	size_t length = colon ? (size_t)(colon - line) : 0;
	char *value;

	if (!colon)
		return 0;
	at = colon + 1;
	while (at < end && (*at == ' ' || *at == '\t'))
		at++;
	while (end > at && strchr(" \t\r\n", end[-1]))
		end--;
	for (size_t i = 0; i < COUNT_OF(header_rows); i++) {
		char **field = (char **)((char *)response + header_rows[i].offset);

		if (strlen(header_rows[i].name) != length || strncasecmp(header_rows[i].name, line, length) != 0)
			continue;
		value = strndup(at, (size_t)(end - at));
		free(*field);
		*field = value;
		return value ? 0 : -ENOMEM;
	}
	if (length == strlen("www-authenticate") && strncasecmp("www-authenticate", line, length) == 0)
		return text_list_add_owned(&response->challenges, strndup(at, (size_t)(end - at)));
	return 0;
}
