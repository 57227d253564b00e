"""What the demo shop sells: for each category its SKU code, and for each thing its kinds.

A thing is ``(name, price of the first kind, kinds)``; each further kind costs a little more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from random import Random

OFFERS = "Offers"

Thing = tuple[str, str, str]

CATALOGUE: dict[tuple[str, str], list[Thing]] = {
    ("COF", "Coffee & Tea"): [
        ("Espresso beans", "9.80", "250 g|500 g|1 kg"),
        ("Filter beans, Ethiopia", "11.40", "250 g|500 g|1 kg"),
        ("Decaf beans, Colombia", "10.90", "250 g|500 g"),
        ("Moka pot", "24.00", "3 cups|6 cups|9 cups"),
        ("French press", "29.50", "350 ml|600 ml|1 l"),
        ("Pour-over dripper", "18.00", "ceramic|glass|steel"),
        ("Hand grinder", "74.00", "steel burr|ceramic burr"),
        ("Gooseneck kettle", "59.00", "0.8 l|1.0 l"),
        ("Paper filters", "4.20", "size 2|size 4|size 6"),
        ("Sencha green tea", "8.60", "100 g|250 g"),
        ("Earl Grey", "7.40", "100 g|250 g"),
        ("Teapot, cast iron", "46.00", "0.6 l|1.1 l"),
    ],
    ("KIT", "Kitchen"): [
        ("Chef's knife", "68.00", "16 cm|20 cm|24 cm"),
        ("Paring knife", "19.90", "8 cm|10 cm"),
        ("Bread knife", "44.00", "22 cm|26 cm"),
        ("Cast-iron skillet", "39.00", "20 cm|26 cm|30 cm"),
        ("Saucepan with lid", "42.50", "1.5 l|2.5 l|4 l"),
        ("Stock pot", "64.00", "6 l|10 l"),
        ("Chopping board, beech", "22.00", "small|medium|large"),
        ("Mixing bowl, steel", "12.90", "1.5 l|3 l|5 l"),
        ("Measuring jug", "9.50", "0.5 l|1 l"),
        ("Salad spinner", "27.00", "green|white"),
        ("Pepper mill", "31.00", "walnut|oak"),
        ("Baking sheet", "16.40", "half|full"),
        ("Digital scale", "34.90", "5 kg|10 kg"),
    ],
    ("GAR", "Garden"): [
        ("Secateurs", "28.50", "bypass|anvil"),
        ("Watering can", "24.90", "5 l|9 l|12 l"),
        ("Garden hose", "32.00", "15 m|25 m|50 m"),
        ("Terracotta pot", "6.80", "14 cm|20 cm|28 cm"),
        ("Hand trowel", "11.50", "ash|steel"),
        ("Digging spade", "38.00", "short|long"),
        ("Leaf rake", "21.00", "bamboo|steel"),
        ("Tomato seeds", "3.20", "cherry|beefsteak|plum"),
        ("Herb seeds", "2.90", "basil|parsley|thyme"),
        ("Potting compost", "7.90", "20 l|40 l"),
        ("Bird feeder", "18.70", "hanging|window"),
        ("Gardening gloves", "9.90", "S|M|L"),
    ],
    ("LGT", "Lighting"): [
        ("Desk lamp", "58.00", "black|white|brass"),
        ("Floor lamp", "129.00", "black|oak"),
        ("Pendant light", "84.00", "20 cm|35 cm|50 cm"),
        ("Wall light", "49.00", "brass|chrome"),
        ("LED bulb, warm", "5.90", "4 W|7 W|11 W"),
        ("LED bulb, daylight", "6.40", "7 W|11 W"),
        ("Filament bulb", "8.90", "globe|pear|tube"),
        ("String lights", "19.50", "5 m|10 m|20 m"),
        ("Storm lantern", "36.00", "small|large"),
        ("Head torch", "27.90", "200 lm|400 lm"),
        ("Beeswax candles", "14.20", "pack of 2|pack of 6"),
        ("Dimmer switch", "23.00", "single|double"),
    ],
    ("STA", "Stationery"): [
        ("Notebook, dotted", "12.50", "A6|A5|A4"),
        ("Notebook, plain", "11.90", "A6|A5|A4"),
        ("Fountain pen", "38.00", "fine|medium|broad"),
        ("Ink bottle", "13.80", "black|blue|green"),
        ("Gel pens", "6.90", "pack of 3|pack of 6"),
        ("Pencils, graphite", "4.80", "HB|2B|4B"),
        ("Desk diary", "24.00", "weekly|daily"),
        ("Washi tape", "3.60", "plain|pattern"),
        ("Scissors", "15.40", "17 cm|21 cm"),
        ("Envelopes, recycled", "5.20", "C6|C5|C4"),
        ("Letter scale", "21.50", "500 g|1 kg"),
        ("Cutting mat", "17.90", "A4|A3|A2"),
    ],
    ("BED", "Bed & Bath"): [
        ("Linen sheet", "79.00", "single|double|king"),
        ("Duvet cover, cotton", "64.00", "single|double|king"),
        ("Pillowcase, linen", "22.00", "50 x 70|80 x 80"),
        ("Wool blanket", "98.00", "grey|ochre|navy"),
        ("Feather pillow", "45.00", "soft|firm"),
        ("Bath towel", "26.50", "sand|sage|white"),
        ("Hand towel", "14.50", "sand|sage|white"),
        ("Bath mat", "29.00", "cotton|cork"),
        ("Soap bar", "6.20", "cedar|lavender|oat"),
        ("Bathrobe", "72.00", "S|M|L"),
        ("Laundry basket", "41.00", "willow|canvas"),
    ],
    ("TOL", "Tools"): [
        ("Claw hammer", "23.50", "16 oz|20 oz"),
        ("Screwdriver set", "31.90", "6 pieces|12 pieces"),
        ("Combination pliers", "19.80", "160 mm|180 mm"),
        ("Adjustable spanner", "22.40", "6 in|8 in|10 in"),
        ("Tape measure", "11.20", "3 m|5 m|8 m"),
        ("Spirit level", "26.00", "40 cm|60 cm|120 cm"),
        ("Hand saw", "29.90", "fine|coarse"),
        ("Cordless drill", "119.00", "12 V|18 V"),
        ("Wood screws", "5.60", "3 x 30|4 x 40|5 x 60"),
        ("Sandpaper", "4.90", "80 grit|120 grit|240 grit"),
        ("Work gloves", "12.80", "M|L|XL"),
        ("Tool roll, canvas", "54.00", "small|large"),
    ],
    ("OUT", "Outdoors"): [
        ("Down jacket", "189.00", "S|M|L"),
        ("Rain shell", "139.00", "S|M|L"),
        ("Daypack", "84.00", "18 l|24 l|32 l"),
        ("Sleeping bag", "159.00", "summer|three-season"),
        ("Tent", "349.00", "2 people|3 people|4 people"),
        ("Vacuum flask", "32.90", "0.5 l|0.75 l|1 l"),
        ("Camp stove", "64.50", "gas|alcohol"),
        ("Merino socks", "17.50", "S|M|L"),
        ("Trekking poles", "78.00", "aluminium|carbon"),
        ("Dry bag", "15.90", "5 l|10 l|20 l"),
        ("Pocket knife", "36.00", "small|large"),
    ],
    ("TOY", "Toys & Games"): [
        ("Wooden blocks", "34.00", "50 pieces|100 pieces"),
        ("Train set", "59.00", "starter|bridge|station"),
        ("Jigsaw puzzle", "16.90", "500 pieces|1000 pieces|2000 pieces"),
        ("Chess set", "48.00", "travel|club"),
        ("Playing cards", "5.40", "poker|patience"),
        ("Backgammon", "52.00", "travel|club"),
        ("Kite", "23.50", "diamond|delta"),
        ("Modelling clay", "8.70", "6 colours|12 colours"),
        ("Coloured pencils", "11.80", "12|24|48"),
        ("Spinning top", "6.30", "beech|steel"),
        ("Soft bear", "27.00", "small|large"),
        ("Yo-yo", "9.20", "red|black"),
    ],
    ("AUD", "Audio"): [
        ("Bookshelf speakers", "229.00", "black|walnut|white"),
        ("Headphones, over-ear", "149.00", "black|silver"),
        ("Earphones", "39.00", "wired|wireless"),
        ("Turntable", "279.00", "belt drive|direct drive"),
        ("Record brush", "14.60", "carbon|velvet"),
        ("Portable radio", "74.50", "FM|DAB+"),
        ("Speaker cable", "12.40", "2 m|5 m|10 m"),
        ("Headphone stand", "28.00", "oak|steel"),
        ("Record crate", "46.00", "60 records|100 records"),
        ("Phono preamp", "88.00", "MM|MM and MC"),
        ("Bluetooth speaker", "64.00", "green|sand|black"),
        ("Desktop microphone", "109.00", "USB|XLR"),
    ],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One product of the catalogue, before it has a row."""

    sku: str
    name: str
    price: Decimal
    stock: int
    active: bool
    category: str


def listings() -> Iterator[Listing]:
    """The whole catalogue, the same each time: kinds, stock, and a few things on offer."""
    random = Random("harbour-and-pine")  # noqa: S311
    for (code, category), things in CATALOGUE.items():
        for number, (name, price, kinds) in enumerate(things, start=1):
            for step, kind in enumerate(kinds.split("|")):
                yield Listing(
                    sku=f"{code}-{number:02}{step + 1}",
                    name=f"{name}, {kind}",
                    price=Decimal(price) + (Decimal(price) * step / 5).quantize(Decimal("0.1")),
                    stock=max(0, round(random.gauss(38, 26))),
                    active=random.random() > 0.04,
                    category=OFFERS if random.random() < 0.04 else category,
                )
