/*
 * The environment of a program: the agent's defaults, over them the image's /etc/environment, over them what OPEN gives.
 */
#ifndef ENVIRONMENT_H
#define ENVIRONMENT_H

#include "fields.h"

struct agent;

struct environment {
  char **entries; /* NAME=value, NULL at the end */
  const char *path; /* the value of PATH */
  char *arena;
};

/* 0, E2BIG (more than 8 192 entries) or EINVAL (an entry without `=`, or with a zero in it). */
int environment_make(struct agent *agent, struct environment *env, struct span fields);
void environment_free(struct environment *env);

#endif
