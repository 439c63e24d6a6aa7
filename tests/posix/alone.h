#pragma once
/* Runs a function as a case of its own, in the folder argv[1]: says ok or not ok; an exit status. */
int alone(int argc, char **argv, void (*run)(void));
