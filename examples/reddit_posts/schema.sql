-- Whose the subscriptions are: a role of their own.  It may log in, since a
-- worker connects as the owner, and it may do no more than it needs; "apply"
-- is refused to a superuser.  Its tables are in a schema that is its own.
CREATE ROLE reddit LOGIN;
CREATE SCHEMA reddit AUTHORIZATION reddit;
SET ROLE reddit;

-- what INCR subreddit-<name> was
CREATE TABLE reddit.subreddit_counts (
    subreddit  text PRIMARY KEY,
    posts      bigint NOT NULL
);

CREATE TABLE reddit.posts (
    subreddit  text NOT NULL,
    title      text NOT NULL,
    author     text,
    url        text NOT NULL,
    posted_at  timestamptz NOT NULL
);
CREATE INDEX ON reddit.posts (subreddit, posted_at);

-- for users
CREATE VIEW reddit.top_ten AS
    SELECT subreddit, posts
      FROM reddit.subreddit_counts
     ORDER BY posts DESC, subreddit COLLATE "C"
     LIMIT 10;

RESET ROLE;
