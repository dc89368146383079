/* A few threads that do a piece of work together, again and again. */
#ifndef RS_PLANNER_TEAM_H
#define RS_PLANNER_TEAM_H

#include <stdint.h>

typedef struct rs_team rs_team;
typedef void rs_job(void *what, int32_t member);

/* A team of so many members, the caller's own thread among them: `members` - 1 threads are started
 * and sleep until there is work. NULL when that cannot be done. */
rs_team *rs_team_new(int32_t members);
void rs_team_free(rs_team *team);

/* Calls job(what, member) for members 0 .. members - 1, each in its own thread, 0 in the caller's;
 * returns when all are done. What was written before the call is seen by all, and the other way
 * round. */
void rs_team_run(rs_team *team, rs_job *job, void *what);

#endif
