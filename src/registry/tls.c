/*
 * libcurl does the handshakes and checks host names; which chain counts is decided in verify(), by a store of our own:
 * one for all hosts without authorities of their own, so that the system's bundle is read at most once, and one for
 * each other host, so that its authorities count for nobody else. libcurl's own store stays empty.
 *
 * verify() also notes whom it saw, since libcurl can't say more than "self-signed certificate". What it uses belongs to
 * the host and not to a transfer, because a connection outlives the transfer that opened it.
 */
#include "registry/tls.h"

#include "base/text.h"
#include "registry/certificate.h"
#include "registry/endpoint.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define NAME_LIMIT 200 /* bytes of a certificate's name in a message */

struct tls_host {
	struct tls_host *next;
	char *domain;
	struct tls *tls;
	struct certificates files;
	X509_STORE *store;          /* NULL until a handshake needs it */
	struct annex_error *broken; /* why there is none */
	bool has_bundle;            /* the system's, in a store of its own */
	bool asked;
	int why; /* X509_V_…, of the last chain */
	char subject[NAME_LIMIT], issuer[NAME_LIMIT], names[NAME_LIMIT];
	char leaf[NAME_LIMIT]; /* whose chain it is, where the failing certificate is another one */
	char until[32];        /* when it ends, or begins */
};

struct tls {
	X509_STORE *system; /* NULL until a handshake needs it */
	bool has_bundle;    /* the system's, in `system` */
	struct tls_host *hosts;
};

int tls_new(struct tls **ret, struct annex_error **err)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : fail_memory(err);
}

void tls_free(struct tls *tls)
{
	struct tls_host *host;

	if (!tls)
		return;
	while ((host = tls->hosts)) {
		tls->hosts = host->next;
		free(host->domain);
		certificates_clear(&host->files);
		X509_STORE_free(host->store);
		annex_error_free(host->broken);
		free(host);
	}
	X509_STORE_free(tls->system);
	free(tls);
}

/* The system's folder, where authorities are found by the hash of their names, costs nothing before one is looked for.
 * Its bundle, which has to be read whole (20 ms), is added by add_bundle() when the folder did not do. An intermediate
 * or a server's own certificate may be the anchor, as in curl and Go. */
static X509_STORE *new_store(void)
{
	X509_STORE *store = X509_STORE_new();
	X509_LOOKUP *folder = store ? X509_STORE_add_lookup(store, X509_LOOKUP_hash_dir()) : NULL;

	if (folder && X509_LOOKUP_add_dir(folder, NULL, X509_FILETYPE_DEFAULT) == 1 &&
	    X509_STORE_set_flags(store, X509_V_FLAG_TRUSTED_FIRST | X509_V_FLAG_PARTIAL_CHAIN) == 1)
		return store;
	X509_STORE_free(store);
	return NULL;
}

/* False: it was there already. */
static bool add_bundle(struct tls_host *host)
{
	bool *added = host->store == host->tls->system ? &host->tls->has_bundle : &host->has_bundle;

	if (*added)
		return false;
	*added = true;
	return X509_STORE_set_default_paths(host->store) == 1;
}

static int make_store(X509_STORE **ret, struct tls *tls, const struct certificates *files, struct annex_error **err)
{
	X509_STORE *store;

	ERR_clear_error();
	if (!files->authorities.count && tls->system) {
		X509_STORE_up_ref(tls->system);
		*ret = tls->system;
		return 0;
	}
	store = new_store();
	if (!store)
		return fail_memory(err);
	for (size_t i = 0; i < files->authorities.count; i++) {
		if (X509_STORE_load_locations(store, files->authorities.items[i], NULL) != 1) {
			ERR_clear_error();
			X509_STORE_free(store);
			fail(err, ANNEX_ERROR_CORRUPT, "%s holds no certificate that can be read",
			     files->authorities.items[i]);
			return fail_hint(err, "it should be in PEM format, and readable");
		}
	}
	if (!files->authorities.count) {
		X509_STORE_up_ref(store);
		tls->system = store;
	}
	*ret = store;
	return 0;
}

int tls_host(struct tls_host **ret, struct tls *tls, const char *domain, struct annex_error **err)
{
	struct tls_host *host;

	for (host = tls->hosts; host; host = host->next) {
		if (strcmp(host->domain, domain) == 0) {
			*ret = host;
			return 0;
		}
	}
	host = calloc(1, sizeof(*host));
	if (!host)
		return fail_memory(err);
	host->next = tls->hosts;
	tls->hosts = host;
	host->tls = tls;
	host->domain = strdup(domain);
	if (!host->domain || certificates_find(&host->files, endpoint_name(domain), err) < 0) {
		bool no_memory = !host->domain;

		tls->hosts = host->next;
		free(host->domain);
		certificates_clear(&host->files);
		free(host);
		return no_memory ? fail_memory(err) : -1;
	}
	*ret = host;
	return 0;
}

static void copy_name(char into[NAME_LIMIT], const X509_NAME *name)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *bytes;
	long size;

	*into = '\0';
	if (bio && X509_NAME_print_ex(bio, name, 0, XN_FLAG_ONELINE & ~ASN1_STRFLGS_ESC_MSB & ~XN_FLAG_SPC_EQ) >= 0) {
		size = BIO_get_mem_data(bio, &bytes);
		snprintf(into, NAME_LIMIT, "%.*s", (int)size, bytes);
	}
	if (!*into)
		strcpy(into, "without a name");
	BIO_free(bio);
}

static void copy_alternatives(char into[NAME_LIMIT], const X509 *certificate)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
	size_t at = 0;

	*into = '\0';
	for (int i = 0; i < sk_GENERAL_NAME_num(names) && at < NAME_LIMIT - 60; i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

		if (name->type == GEN_DNS)
			at += (size_t)snprintf(into + at, NAME_LIMIT - at, "%s%.50s", at ? ", " : "",
					       (const char *)ASN1_STRING_get0_data(name->d.dNSName));
		else if (name->type == GEN_IPADD && ASN1_STRING_length(name->d.iPAddress) == 4)
			at += (size_t)snprintf(into + at, NAME_LIMIT - at, "%s%u.%u.%u.%u", at ? ", " : "",
					       ASN1_STRING_get0_data(name->d.iPAddress)[0],
					       ASN1_STRING_get0_data(name->d.iPAddress)[1],
					       ASN1_STRING_get0_data(name->d.iPAddress)[2],
					       ASN1_STRING_get0_data(name->d.iPAddress)[3]);
	}
	GENERAL_NAMES_free(names);
}

static void copy_time(char into[32], const ASN1_TIME *when)
{
	struct tm broken;

	*into = '\0';
	if (ASN1_TIME_to_tm(when, &broken) == 1)
		strftime(into, 32, "%Y-%m-%d", &broken);
}

static void note(struct tls_host *host, const X509 *leaf, const X509 *certificate)
{
	copy_name(host->leaf, X509_get_subject_name(leaf));
	copy_name(host->subject, X509_get_subject_name(certificate));
	copy_name(host->issuer, X509_get_issuer_name(certificate));
	copy_alternatives(host->names, leaf);
	copy_time(host->until, host->why == X509_V_ERR_CERT_NOT_YET_VALID ? X509_get0_notBefore(certificate)
									  : X509_get0_notAfter(certificate));
}

static bool is_trusted(struct tls_host *host, X509_STORE_CTX *theirs)
{
	X509 *leaf = X509_STORE_CTX_get0_cert(theirs), *failing;
	X509_STORE_CTX *ours = X509_STORE_CTX_new();
	bool good = false;

	host->why = X509_V_ERR_OUT_OF_MEM;
	if (ours && X509_STORE_CTX_init(ours, host->store, leaf, X509_STORE_CTX_get0_untrusted(theirs)) == 1 &&
	    X509_STORE_CTX_set_default(ours, "ssl_server") == 1) {
		X509_VERIFY_PARAM_set_auth_level(X509_STORE_CTX_get0_param(ours),
						 X509_VERIFY_PARAM_get_auth_level(X509_STORE_CTX_get0_param(theirs)));
		good = X509_verify_cert(ours) == 1;
		host->why = X509_STORE_CTX_get_error(ours);
		failing = X509_STORE_CTX_get_current_cert(ours);
		note(host, leaf, failing && !good ? failing : leaf);
	}
	X509_STORE_CTX_free(ours);
	return good;
}

/* In place of OpenSSL's own: the same, with our store. */
static int verify(X509_STORE_CTX *theirs, void *data)
{
	struct tls_host *host = data;
	bool good = false;

	host->why = X509_V_ERR_OUT_OF_MEM;
	if (!host->broken && (host->store || make_store(&host->store, host->tls, &host->files, &host->broken) == 0))
		good = is_trusted(host, theirs) || (add_bundle(host) && is_trusted(host, theirs));
	X509_STORE_CTX_set_error(theirs, good ? X509_V_OK : host->why);
	return good;
}

bool tls_was_asked(const struct tls_host *host)
{
	return host->asked;
}

/* Where an SSL_CTX keeps its host. */
static int host_index = -1;
static pthread_once_t host_index_once = PTHREAD_ONCE_INIT;

static void make_host_index(void)
{
	host_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
}

/* Only called where there is no client certificate: notes that one was asked for, and gives none. */
static int on_client_certificate(SSL *ssl, X509 **certificate, EVP_PKEY **key)
{
	struct tls_host *host = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), host_index);

	(void)certificate;
	(void)key;
	host->asked = true;
	return 0;
}

static CURLcode on_context(CURL *easy, void *context, void *data)
{
	(void)easy;
	pthread_once(&host_index_once, make_host_index);
	if (host_index < 0 || SSL_CTX_set_ex_data(context, host_index, data) != 1)
		return CURLE_OUT_OF_MEMORY;
	SSL_CTX_set_client_cert_cb(context, on_client_certificate);
	SSL_CTX_set_cert_verify_callback(context, verify, data);
	return CURLE_OK;
}

CURLcode tls_apply(CURL *easy, struct tls_host *host, bool verified)
{
	CURLcode code = curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, verified ? 1L : 0L);

	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, verified ? 2L : 0L);
	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_CAINFO, NULL);
	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, verified ? on_context : NULL);
	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, host);
	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_SSLCERT, host->files.client);
	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_SSLKEY, host->files.key);
	if (code == CURLE_OK && host->files.key) /* or OpenSSL would ask for it on the terminal */
		code = curl_easy_setopt(easy, CURLOPT_KEYPASSWD, "");
	return code;
}

int tls_failure(struct annex_error **err, const struct tls_host *host)
{
	const char *domain = host->domain;

	if (host->broken)
		return fail_relayed(err, annex_error_kind(host->broken), annex_error_errno(host->broken),
				    annex_error_message(host->broken), annex_error_hint(host->broken));

	switch (host->why) {
	case X509_V_OK:
		fail(err, ANNEX_ERROR_NETWORK, "the certificate of %s is for another host: %s (issued by %s)", domain,
		     *host->names ? host->names : host->subject, host->issuer);
		return fail_hint(err, "ask for the registry by the name that its certificate has");
	case X509_V_ERR_CERT_HAS_EXPIRED:
		fail(err, ANNEX_ERROR_NETWORK, "the certificate of %s expired on %s: %s (issued by %s)", domain,
		     host->until, host->subject, host->issuer);
		return fail_hint(err, "the registry needs a new one; or is this host's clock right?");
	case X509_V_ERR_CERT_NOT_YET_VALID:
		fail(err, ANNEX_ERROR_NETWORK, "the certificate of %s is not valid before %s: %s (issued by %s)",
		     domain, host->until, host->subject, host->issuer);
		return fail_hint(err, "is this host's clock right?");
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
		fail(err, ANNEX_ERROR_NETWORK, "the certificate of %s is self-signed: %s", domain, host->subject);
		break;
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
		fail(err, ANNEX_ERROR_NETWORK,
		     "the certificate of %s (%s) comes from an authority that is not trusted here: %s", domain,
		     host->leaf, host->subject);
		break;
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
		fail(err, ANNEX_ERROR_NETWORK, "the certificate of %s is from an unknown issuer: %s (issued by %s)",
		     domain, host->subject, host->issuer);
		break;
	default:
		fail(err, ANNEX_ERROR_NETWORK, "the certificate of %s does not count: %s (%s, issued by %s)", domain,
		     X509_verify_cert_error_string(host->why), host->subject, host->issuer);
		break;
	}
	return fail_hint(err,
			 "put the authority's certificate into ~/.config/containers/certs.d/%s/ca.crt or "
			 "/etc/containers/certs.d/%s/ca.crt",
			 domain, domain);
}
