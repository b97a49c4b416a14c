#!/usr/bin/env python3
"""Made-up pins of Pinterest, one JSON object a line, or what becomes of them.

    generate.py COUNT [SEED]               print COUNT messages
    generate.py --expected COUNT [SEED]    print what result.sql finds after them

The same seed gives the same messages, and fewer of them are the first of more.
"""

import json
import sys
from hashlib import md5
from random import Random
from uuid import UUID

CATEGORIES = ['art', 'beauty', 'christmas', 'diy-and-crafts', 'event-planning', 'home-decor', "mens-fashion", 'travel']
WORDS = """a simple guide to naïve "modern" décor 10 ideas for 2024 crème brûlée 東京 🎄 & more: it's free
back\\slash No description available""".split(' ')
COLUMNS = ['unique_id', 'index_id', 'title', 'category', 'description', 'follower_count', 'tag_list',
           'is_image_or_video', 'image_src', 'downloaded', 'save_location']


def pick(rand, pairs):
    """One of (what the message says, what the table must hold)."""
    return rand.choice(pairs)


def same(value):
    return value, value


def pins(count, seed):
    """Yields (message, clean): the object, and the row that it must become."""
    rand = Random(seed)
    for n in range(count):
        number = rand.randrange(1, 1000)
        words = ' '.join(rand.choice(WORDS) for _ in range(rand.randrange(1, 15)))
        category = rand.choice(CATEGORIES)
        unique = str(UUID(int=rand.getrandbits(128)))
        downloaded = rand.randrange(2)
        values = {
            'unique_id': same(unique),
            'index_id': pick(rand, [same(n), (str(n), n)]),
            'title': pick(rand, [same(words[:40]), same(words[:20]), ('No Title Data Available', None)]),
            'category': same(category),
            # what only begins like it, or is spelt otherwise, stays
            'description': pick(rand, [
                same(words), same(words), same('No description available for ' + category),
                same('no description available'), ('No description available', None),
                ('No description available Story format', None)]),
            'follower_count': pick(rand, [
                (f'{number}k', number * 1000), (f'{number}M', number * 1000000), same(number), (str(number), number),
                ('0', 0), ('User Info Error', None)]),
            'tag_list': pick(rand, [
                same(','.join(words.split())), same('No Tags Available'), same(''),
                ('N,o, ,T,a,g,s, ,A,v,a,i,l,a,b,l,e', None)]),
            'is_image_or_video': same(rand.choice(['image', 'video', 'multi-video(story page format)'])),
            'image_src': pick(rand, [same(f'https://i.pinimg.com/originals/{n:08x}.jpg'), ('Image src error.', None)]),
            'downloaded': pick(rand, [same(downloaded), (str(downloaded), downloaded)]),
            'save_location': same(f'Local save in /data/{category}'),
        }
        if rand.random() < 0.05:
            # a field that is null, or is not there
            name = rand.choice([name for name in COLUMNS if name not in ('unique_id', 'index_id')])
            values[name] = (None, None)
        pin = {'index' if name == 'index_id' else name: said for name, (said, _) in values.items()}
        for name in [name for name in pin if pin[name] is None and n % 2]:
            del pin[name]
        yield pin, {name: values[name][1] for name in COLUMNS}


def checksum(value):
    return int(md5(value.encode()).hexdigest()[:15], 16)


def print_expected(count, seed):
    raw = clean = 0
    for pin, row in pins(count, seed):
        raw += checksum(pin['unique_id'])
        clean += checksum('|'.join(f'{name}={"NULL" if value is None else value}' for name, value in row.items()))
    for name, total in (('raw_pins', raw), ('pins', clean), ('experimental_streaming', clean)):
        print(f'{name}|{count}|{total}')


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
        for n, (pin, _) in enumerate(pins(count, seed)):
            print(json.dumps(pin, ensure_ascii=bool(n % 2)))


if __name__ == '__main__':
    main(sys.argv[1:])
