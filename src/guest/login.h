#pragma once
#include "guest/passwd.h"
#include "wire/message.h"

/*
 * The environment that a session begins with. From the weakest to the strongest:
 *
 *   /etc/environment
 *   the image's ENV
 *   what the host's terminal, language, time zone and proxies are, as far as the machine can do it
 *   the machine's setting env=
 *   who the user is: HOME, USER, LOGNAME, SHELL, XDG_RUNTIME_DIR, DBUS_SESSION_BUS_ADDRESS
 *   SSH_AUTH_SOCK, where none of the above says it
 *   the session's own: run -e
 *
 * PATH, TERM and LANG are there in any case.
 */
#define LOGIN_FILE_MAX (64u << 10) /* bytes of /etc/environment and the like */

struct login {
	const char *root; /* "", or a folder that stands for the machine's root */
	const struct message_config *config;
	const struct message_open *open;
	const struct passwd_user *user;
	const char *shell;
	const char *agent; /* for SSH_AUTH_SOCK, or NULL */
};

/* Runs as the machine's root. May put a terminal's entry into the machine's terminfo data base. */
MUST_USE int login_environment(struct text_list *ret, const struct login *login, struct annex_error **err);

/* The image's and the settings' assignments, and the host's proxies, for a program of the machine that is no session.
 * With TZ where the machine can't have the host's time zone otherwise. -ENOMEM. */
MUST_USE int login_set_machine(struct text_list *env, const char *root, const struct message_config *config);
