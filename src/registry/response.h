#pragma once
#include "registry/http.h"

/* Keeps what is wanted of a header, given as its line. -ENOMEM. */
MUST_USE int response_keep_header(struct http_response *response, const char *line, size_t size);
