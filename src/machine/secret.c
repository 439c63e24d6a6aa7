/*
 * What is in the list: places whose purpose is to hold keys, passwords, tokens or the sessions of browsers and mail
 * programs. A file that holds settings as well as tokens (.npmrc) is in it too: a setting that is missing shows at once
 * and comes back by one command, a token that was stolen doesn't show. Not in it: what every shell and build needs and
 * what holds secrets only by accident (.gitconfig, histories of shells), and what other machines' programs write anew
 * at each login (.Xauthority).
 */
#include "machine/secret.h"

#include "base/file.h"
#include "share/mask.h"

#include <assert.h>
#include <limits.h>
#include <string.h>

static const char *const defaults[] = {
	/* keys to other computers, and what they sign and decrypt */
	".ssh",
	".gnupg",
	".pki",
	".cert",
	".config/sops",
	".config/age",
	".minisign",
	".config/sigstore",
	".sigstore",
	".acme.sh",
	".step",
	".putty",
	".android/adbkey",
	/* passwords and tokens of many services in one place */
	".netrc",
	".authinfo",
	".authinfo.gpg",
	".password-store",
	".local/share/gopass",
	".config/gopass",
	".local/share/keyrings",
	".gnome2/keyrings",
	".local/share/kwalletd",
	".kde/share/apps/kwallet",
	".config/op",
	".op",
	".config/1Password",
	".config/Bitwarden",
	".config/Bitwarden CLI",
	".config/keepassxc",
	".config/KeePass",
	".vault-token",
	".config/filezilla",
	".local/share/remmina",
	/* clouds and their tools */
	".aws",
	".azure",
	".config/gcloud",
	".boto",
	".oci",
	".kube",
	".config/doctl",
	".config/hcloud",
	".config/linode-cli",
	".config/scw",
	".fly",
	".config/rclone",
	".s3cfg",
	".terraform.d/credentials.tfrc.json",
	".terraformrc",
	".ansible/vault",
	".ansible/galaxy_token",
	".databrickscfg",
	".kaggle/kaggle.json",
	".sentryclirc",
	".config/stripe",
	".local/share/com.vercel.cli",
	".config/netlify",
	".config/.wrangler",
	/* code forges */
	".git-credentials",
	".config/git/credentials",
	".config/gh",
	".config/hub",
	".config/glab-cli",
	".config/tea",
	".subversion/auth",
	/* registries of images and packages */
	".docker/config.json",
	".dockercfg",
	".config/containers/auth.json",
	".config/helm/registry",
	".npmrc",
	".yarnrc.yml",
	".pypirc",
	".cargo/credentials",
	".cargo/credentials.toml",
	".gem/credentials",
	".composer/auth.json",
	".config/composer/auth.json",
	".m2/settings.xml",
	".m2/settings-security.xml",
	".gradle/gradle.properties",
	/* databases */
	".pgpass",
	".my.cnf",
	".mylogin.cnf",
	/* assistants */
	".claude/.credentials.json",
	".codex/auth.json",
	".gemini/oauth_creds.json",
	".config/github-copilot",
	".cache/huggingface/token",
	/* browsers: passwords and the cookies of sessions */
	".mozilla",
	".config/mozilla",
	".librewolf",
	".zen",
	".config/google-chrome",
	".config/google-chrome-beta",
	".config/google-chrome-unstable",
	".config/chromium",
	".config/BraveSoftware",
	".config/microsoft-edge",
	".config/vivaldi",
	".config/opera",
	".local/share/epiphany",
	".local/share/qutebrowser",
	/* mail and chat */
	".thunderbird",
	".local/share/evolution",
	".config/Signal",
	".config/Slack",
	".config/discord",
	".config/Element",
	".local/share/TelegramDesktop",
	/* wallets */
	".bitcoin",
	".electrum",
	".ethereum",
	/* the same programs in packages of their own: all their files, snap's and Flatpak's */
	"snap/firefox",
	"snap/chromium",
	"snap/brave",
	"snap/thunderbird",
	"snap/bitwarden",
	".var/app",
};

static_assert(COUNT_OF(defaults) < SECRET_DEFAULTS_MAX, "room is left for masks of the user's own");

int secret_defaults(struct text_list *list, struct annex_error **err)
{
	for (size_t i = 0; i < COUNT_OF(defaults); i++) {
		if (text_list_add(list, defaults[i]) < 0)
			return fail_memory(err);
	}
	return 0;
}

static int refuse(const char *path, const char *why, struct annex_error **err)
{
	fail(err, ANNEX_ERROR_USAGE, "mask '%s' %s", path, why);
	return fail_hint(err, "masks are paths below the home, such as mask=.ssh or mask=~/web/keys");
}

/* The part below one of the homes: NULL when it lies elsewhere. */
static const char *part_below(const char *path, const char *const *homes)
{
	for (; *homes; homes++) {
		size_t size = strlen(*homes);

		if (size > 1 && strncmp(path, *homes, size) == 0 && (path[size] == '/' || !path[size]))
			return path + size;
	}
	return NULL;
}

/* One name of a path; `depth`: how many came before it. */
static int check_name(const char *path, const char *name, size_t length, unsigned depth, struct annex_error **err)
{
	if (length == 2 && memcmp(name, "..", 2) == 0)
		return refuse(path, "has '..' in it", err);
	if (depth == 0 && length == 1 && *name == '~')
		return refuse(path, "begins with a folder '~', which is how the home is written", err);
	if (length > NAME_MAX || depth >= MASK_DEPTH_LIMIT)
		return refuse(path, "is too deep, or a name in it too long", err);
	return 0;
}

int secret_parse(char **ret, const char *path, const char *const *homes, struct annex_error **err)
{
	auto_text struct text made = {0};
	const char *below = *path == '~' && (path[1] == '/' || !path[1]) ? path + 1
			    : *path == '/'                               ? part_below(path, homes)
									 : path;
	unsigned depth = 0;
	size_t length;

	if (!below)
		return refuse(path, "is not below the home", err);
	if (strlen(path) >= PATH_MAX || strchr(path, '\n') || !text_is_utf8(path, strlen(path)))
		return refuse(path, "is too long, has a line break or is not UTF-8", err);
	for (const char *name = below; *name; name += length + (name[length] == '/')) {
		length = strcspn(name, "/");
		if (length == 0 || (length == 1 && *name == '.'))
			continue;
		if (check_name(path, name, length, depth++, err) < 0)
			return -1;
		text_printf(&made, "%s%.*s", made.size ? "/" : "", (int)length, name);
	}
	if (depth == 0)
		return refuse(path, "is the home itself; home-mount=none hides all of it", err);
	*ret = text_take(&made);
	return *ret ? 0 : fail_memory(err);
}
