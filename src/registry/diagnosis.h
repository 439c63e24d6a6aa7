#pragma once
#include "registry/failure.h"

#include <curl/curl.h>

struct tls_host;

/* Why a transfer failed below HTTP: makes the error. domain: who was asked; reason: what libcurl has to say, or "";
 * answered: there was the beginning of an answer. */
enum failure diagnose(struct annex_error **err, CURL *easy, CURLcode code, const char *domain, const char *reason,
		      const struct tls_host *host, bool answered);
