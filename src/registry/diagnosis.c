/* libcurl's codes say which call failed; people want to know which side it is, and what to do about it. */
#include "registry/diagnosis.h"

#include "base/time.h"
#include "registry/http.h"
#include "registry/tls.h"

#include <string.h>

/* The proxy is told from the registry by what libcurl says it tried. */
static enum failure tell_refused(struct annex_error **err, CURL *easy, const char *domain, const char *reason)
{
	auto_free char *host = strndup(domain, strcspn(domain, *domain == '[' ? "]" : ":"));
	long os = 0;

	curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &os);
	if (host && !strstr(reason, *host == '[' ? host + 1 : host)) {
		fail(err, ANNEX_ERROR_NETWORK, "cannot connect to %s through the proxy: %s", domain, reason);
		fail_hint(err, "check https_proxy, http_proxy and no_proxy in the environment");
		return FAILURE_REFUSED;
	}
	fail(err, ANNEX_ERROR_NETWORK, "cannot connect to %s: %s", domain, os ? strerror((int)os) : reason);
	fail_hint(err, "check that the registry runs there, and that this host has a network");
	return FAILURE_REFUSED;
}

/* In TLS 1.3 the other side says so only when the handshake is over for us; it may also just hang up. */
static bool wants_certificate(const char *reason)
{
	return strstr(reason, "alert certificate required") || strstr(reason, "alert bad certificate") ||
	       strstr(reason, "alert unknown ca");
}

static enum failure tell_client_certificate(struct annex_error **err, const char *domain, const char *reason)
{
	fail(err, ANNEX_ERROR_AUTH, "%s wants another client certificate, or one at all (%s)", domain, reason);
	fail_hint(err, "put it into ~/.config/containers/certs.d/%s/client.cert, and its key into client.key there",
		  domain);
	return FAILURE_UNTRUSTED;
}

static enum failure tell_handshake(struct annex_error **err, const char *domain, const char *reason)
{
	if (wants_certificate(reason))
		return tell_client_certificate(err, domain, reason);
	fail(err, ANNEX_ERROR_NETWORK, "no TLS connection to %s: %s", domain, reason);
	if (!strstr(reason, "wrong version number") && !strstr(reason, "packet length too long")) {
		failure_hint(err);
		return FAILURE_HANDSHAKE;
	}
	fail_hint(err, "a registry that has no TLS can be asked by --scheme http, without any protection");
	return FAILURE_NO_TLS;
}

static enum failure tell_broken(struct annex_error **err, CURL *easy, const char *domain, const char *reason)
{
	char status[FAILURE_STATUS_BUFFER];
	long tunnel = 0;

	curl_easy_getinfo(easy, CURLINFO_HTTP_CONNECTCODE, &tunnel);
	if (tunnel && tunnel / 100 != 2) {
		fail(err, ANNEX_ERROR_NETWORK, "the proxy does not connect us to %s: %s", domain,
		     failure_status(status, (unsigned)tunnel));
		fail_hint(
			err,
			tunnel == 407
				? "credentials go into the proxy's address: https_proxy=http://USER:PASSWORD@HOST:PORT"
				: "check https_proxy and no_proxy in the environment");
		return FAILURE_REFUSED;
	}
	if (wants_certificate(reason))
		return tell_client_certificate(err, domain, reason);
	fail(err, ANNEX_ERROR_NETWORK, "the connection to %s broke: %s", domain, reason);
	failure_hint(err);
	return FAILURE_BROKEN;
}

static enum failure tell_timeout(struct annex_error **err, const char *domain, const char *reason)
{
	unsigned long long limit = (time_scaled_ms(HTTP_CONNECT_MS, 1) + 999) / 1000;

	if (text_starts(reason, "Resolving timed out")) {
		fail(err, ANNEX_ERROR_TIMEOUT, "the name %s was not found out within %llu s", domain, limit);
		fail_hint(err, "check that this host has a network, and its name servers (/etc/resolv.conf)");
	} else {
		fail(err, ANNEX_ERROR_TIMEOUT, "%s does not answer: no connection within %llu s", domain, limit);
		fail_hint(err, "check that the registry runs there, and that this host has a network");
	}
	return FAILURE_TIMEOUT;
}

static bool is_broken(CURLcode code)
{
	return code == CURLE_SSL_CONNECT_ERROR || code == CURLE_RECV_ERROR || code == CURLE_SEND_ERROR ||
	       code == CURLE_GOT_NOTHING;
}

enum failure diagnose(struct annex_error **err, CURL *easy, CURLcode code, const char *domain, const char *reason,
		      const struct tls_host *host, bool answered)
{
	if (!*reason)
		reason = curl_easy_strerror(code);
	if (!answered && tls_was_asked(host) && is_broken(code))
		return tell_client_certificate(err, domain, reason);
	switch (code) {
	case CURLE_OUT_OF_MEMORY:
		fail_memory(err);
		return FAILURE_LOCAL;
	case CURLE_COULDNT_RESOLVE_HOST:
		fail(err, ANNEX_ERROR_NETWORK, "unknown host %s", domain);
		fail_hint(err, "check the name %s, and that this host has a network", domain);
		return FAILURE_UNKNOWN_HOST;
	case CURLE_COULDNT_RESOLVE_PROXY:
		fail(err, ANNEX_ERROR_NETWORK, "%s: unknown proxy: %s", domain, reason);
		fail_hint(err, "check https_proxy and http_proxy in the environment");
		return FAILURE_UNKNOWN_HOST;
	case CURLE_COULDNT_CONNECT:
		return tell_refused(err, easy, domain, reason);
	case CURLE_PEER_FAILED_VERIFICATION:
		tls_failure(err, host);
		return FAILURE_UNTRUSTED;
	case CURLE_SSL_CERTPROBLEM:
		fail(err, ANNEX_ERROR_AUTH, "the client certificate for %s can't be used: %s", domain, reason);
		fail_hint(err, "check the files in certs.d/%s: PEM, and the key of that certificate", domain);
		return FAILURE_UNTRUSTED;
	case CURLE_SSL_CONNECT_ERROR:
		return tell_handshake(err, domain, reason);
	case CURLE_OPERATION_TIMEDOUT:
		return tell_timeout(err, domain, reason);
	case CURLE_GOT_NOTHING:
		fail(err, ANNEX_ERROR_NETWORK, "%s closed the connection without an answer", domain);
		failure_hint(err);
		return FAILURE_BROKEN;
	default:
		return tell_broken(err, easy, domain, reason);
	}
}
