#pragma once
#include "base/error.h"
#include "base/text.h"

/*
 * Certificates for one registry, besides the system's: containers-certs.d(5), and Docker's. The first of
 *
 *   $XDG_CONFIG_HOME/containers/certs.d, /etc/containers/certs.d, /etc/docker/certs.d
 *
 * that has a folder HOST[:PORT], spelled as in the image's name, is taken: *.crt are authorities, NAME.cert with
 * NAME.key is what we identify ourselves with.
 */
#define CERTIFICATE_FILE_LIMIT 256u /* in a folder */

struct certificates {
	struct text_list authorities; /* paths of PEM files */
	char *client, *key;           /* the same, or both NULL */
};
void certificates_clear(struct certificates *certificates);
#define auto_certificates CLEANUP(certificates_clear)

/* All empty when there are none. USAGE: a certificate without its key, or the other way round; more than one pair. */
MUST_USE int certificates_find(struct certificates *ret, const char *domain, struct annex_error **err);
