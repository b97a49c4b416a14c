-- What generate.py --expected says: the counts by name, the top ten in their
-- order, and "posts|rows|checksum".
SELECT subreddit, posts FROM reddit.subreddit_counts ORDER BY subreddit COLLATE "C";
SELECT 'top', subreddit, posts FROM reddit.top_ten;
SELECT 'posts', count(*),
       coalesce(sum(('x' || left(md5(concat_ws('|',
           subreddit, title, coalesce(author, 'NULL'), url,
           to_char(posted_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.MS'))), 15))::bit(60)::bigint), 0)
  FROM reddit.posts;
