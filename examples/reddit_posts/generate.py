#!/usr/bin/env python3
"""Made-up Reddit posts, one JSON object a line, or what becomes of them.

    generate.py COUNT [SEED]               print COUNT messages
    generate.py --expected COUNT [SEED]    print what result.sql finds after them

The same seed gives the same messages, and fewer of them are the first of more.
"""

import json
import sys
from collections import Counter
from datetime import datetime, timezone
from hashlib import md5
from random import Random

SUBREDDITS = """PostgreSQL apachekafka programming linux dataengineering Python AskReddit aww movies science
worldnews gaming de france brasil newsokur Zürich učimo_slovenščinu""".split()
WORDS = """exactly once "twice" offset naïve déjà-vu Größe 日本語 🚀 back\\slash it's tab\there o'clock what
if nobody commits?""".split(' ')


def posts(count, seed):
    """Yields (message, values): the object, and what the table must hold."""
    rand = Random(seed)
    for n in range(count):
        # few that many write to, and many that few write to
        subreddit = SUBREDDITS[min(int(rand.expovariate(0.25)), len(SUBREDDITS) - 1)]
        if rand.random() < 0.1:
            subreddit = f'small_{rand.randrange(500)}'
        title = ' '.join(rand.choice(WORDS) for _ in range(rand.randrange(1, 12)))
        author = f'user-{rand.randrange(5000)}'
        url = f'https://www.reddit.com/r/{subreddit}/comments/{rand.getrandbits(40):x}/'
        # as Reddit says it (seconds with a point), and sometimes finer
        millis = (1700000000 + n) * 1000 + rand.choice((0, 0, 0, rand.randrange(1000)))
        post = {'subreddit': subreddit, 'title': title, 'author': author, 'url': url,
                'created_utc': millis / 1000, 'over_18': False, 'score': rand.randrange(3)}
        if rand.random() < 0.02:
            # a deleted account; the field is null, or is not there
            author = 'NULL'
            if n % 2:
                post['author'] = None
            else:
                del post['author']
        posted = datetime.fromtimestamp(millis // 1000, timezone.utc).strftime('%Y-%m-%d %H:%M:%S')
        yield post, (subreddit, title, author, url, f'{posted}.{millis % 1000:03}')


def print_expected(count, seed):
    counts = Counter()
    total = 0
    for _, values in posts(count, seed):
        counts[values[0]] += 1
        total += int(md5('|'.join(values).encode()).hexdigest()[:15], 16)
    for subreddit in sorted(counts):
        print(f'{subreddit}|{counts[subreddit]}')
    for subreddit, number in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:10]:
        print(f'top|{subreddit}|{number}')
    print(f'posts|{count}|{total}')


def main(args):
    expected = '--expected' in args
    numbers = [int(arg) for arg in args if arg != '--expected']
    if not 1 <= len(numbers) <= 2:
        sys.exit(__doc__)
    count, seed = (numbers + [1])[:2]
    sys.stdout.reconfigure(encoding='utf-8', newline='\n')
    if expected:
        print_expected(count, seed)
    else:
        for n, (post, _) in enumerate(posts(count, seed)):
            print(json.dumps(post, ensure_ascii=bool(n % 2)))


if __name__ == '__main__':
    main(sys.argv[1:])
