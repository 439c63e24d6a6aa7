#pragma once
#include "network/address.h"
#include "network/packet.h"

/*
 * Who is where on the machine's Ethernet: the router, the resolver and the other machines, each with the hardware
 * address of its place (network/address.h). Answers ARP and neighbour discovery for those that are there. Pure.
 */
#define NEIGHBOR_FRAME_MAX 96u

/* Whether somebody is at that place. */
typedef bool neighbor_has_fn(uint32_t place, void *data);

/* The answer to a frame of the machine that asks for one; its size, or 0: there is none. */
size_t neighbor_answer(uint8_t ret[NEIGHBOR_FRAME_MAX], const struct packet *packet, uint32_t own, neighbor_has_fn *has,
		       void *data);
/* ARP, or a message of neighbour discovery: those pass between the machine and annex only. */
bool neighbor_speaks(const struct packet *packet);
