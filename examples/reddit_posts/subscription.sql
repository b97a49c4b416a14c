-- Two subscriptions on one topic, each with its own offsets: one counts, one
-- keeps the posts.  psql variables:
--   bootstrap  the brokers' addresses
--   topic      the topic's name
CREATE SERVER reddit_kafka FOREIGN DATA WRAPPER stream_ingest
    OPTIONS (bootstrap_servers :'bootstrap');
GRANT USAGE ON FOREIGN SERVER reddit_kafka TO reddit;
SET ROLE reddit;

-- Sorted, so that several workers would take the rows' locks in one order.
SELECT stream_ingest.create_subscription('subreddit_counts', 'reddit_kafka', :'topic',
    fields => 'subreddit text',
    apply => $$
        INSERT INTO reddit.subreddit_counts AS c (subreddit, posts)
        SELECT subreddit, count(*) FROM batch GROUP BY subreddit ORDER BY subreddit
        ON CONFLICT (subreddit) DO UPDATE SET posts = c.posts + excluded.posts
    $$);

SELECT stream_ingest.create_subscription('reddit_posts', 'reddit_kafka', :'topic', 'reddit.posts',
    mapping => '{"posted_at": "created_utc"}',
    options => '{"epoch_unit": "seconds"}');

RESET ROLE;
