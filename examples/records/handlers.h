/* SPDX-License-Identifier: PostgreSQL */
/*
 * All handlers: handler_fn, named for what they answer. Each is in the file that its path says.
 *
 * Locks: none of their own. Fork: they run in workers only.
 */
#ifndef RECORDS_HANDLERS_H
#define RECORDS_HANDLERS_H

#include "request.h"

/* home.c */
void home_get(struct request *request, struct reply *reply);
void health_get(struct request *request, struct reply *reply);
void health_db_get(struct request *request, struct reply *reply);

/* login.c */
void login_get(struct request *request, struct reply *reply);
void login_post(struct request *request, struct reply *reply);
void logout_post(struct request *request, struct reply *reply);

/* documents.c */
void documents_get(struct request *request, struct reply *reply);
void documents_post(struct request *request, struct reply *reply);
void document_get(struct request *request, struct reply *reply);
void document_delete(struct request *request, struct reply *reply);

/* lots.c */
void lots_get(struct request *request, struct reply *reply);
void lots_post(struct request *request, struct reply *reply);
void lot_get(struct request *request, struct reply *reply);

/* admin.c */
void admin_get(struct request *request, struct reply *reply);
void admin_settings_post(struct request *request, struct reply *reply);
void admin_role_post(struct request *request, struct reply *reply);

/* status.c */
void status_get(struct request *request, struct reply *reply);

/* inbox.c */
void inbox_post(struct request *request, struct reply *reply);
void inbox_get(struct request *request, struct reply *reply);

#endif
