#pragma once
#include "confine/confine.h"

/* What annex-unpack may do once it is confined: work on what is open, and open nothing. */
extern const struct confine_profile unpack_profile;
