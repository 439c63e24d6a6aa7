#pragma once
#include "base/error.h"

#include <curl/curl.h>
#include <stdbool.h>

/*
 * Whom we trust for which host: the system's authorities (OpenSSL's, so SSL_CERT_FILE and SSL_CERT_DIR count) and, for
 * this host only, those of certs.d (registry/certificate.h), with the client certificate that is there. TLS 1.2 at
 * least.
 */
struct tls;
struct tls_host;

MUST_USE int tls_new(struct tls **ret, struct annex_error **err);
/* After the last connection was closed. */
void tls_free(struct tls *tls);
/* domain: host[:port]. Owned by tls; reads files when a host is asked for first. */
MUST_USE int tls_host(struct tls_host **ret, struct tls *tls, const char *domain, struct annex_error **err);
/* The options of a transfer to the host. verify: false where registries.conf says insecure. */
MUST_USE CURLcode tls_apply(CURL *easy, struct tls_host *host, bool verify);
/* Did the host ask for a client certificate, while there is none? */
bool tls_was_asked(const struct tls_host *host);
/* The last handshake failed for its certificate: says which and why, and where another authority can be put. Returns
 * -1. */
int tls_failure(struct annex_error **err, const struct tls_host *host);
