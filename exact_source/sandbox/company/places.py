"""Names from life: towns, streets, people, trades and goods, by country."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """Words to make relations from. ``towns`` carry their postcode; ``trades`` have a place for the owner's name."""

    towns: tuple[tuple[str, str], ...]
    streets: tuple[str, ...]
    first_names: tuple[str, ...]
    last_names: tuple[str, ...]
    trades: tuple[str, ...]
    suppliers: tuple[str, ...]
    jobs: tuple[str, ...]
    domain: str
    phone: str


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(","))


def _towns(text: str) -> tuple[tuple[str, str], ...]:
    return tuple((town.strip(), code.strip()) for town, code in (pair.rsplit(" ", 1) for pair in text.split(",")))


PLACES = {
    "NL": Place(
        towns=_towns(
            "Amersfoort 3811, Utrecht 3512, Den Haag 2511, Rotterdam 3011, Zwolle 8011, Groningen 9712, Breda 4811, "
            "Tilburg 5038, Eindhoven 5611, Nijmegen 6511, Arnhem 6811, Deventer 7411, Leiden 2312, Haarlem 2011, "
            "Alkmaar 1811, Hoorn 1621, Sneek 8601, Venlo 5911, Middelburg 4331, 's-Hertogenbosch 5211, Gouda 2801"
        ),
        streets=_list(
            "Kerkstraat, Dorpsstraat, Stationsweg, Industrieweg, Molenweg, Havenkade, Lange Nieuwstraat, Energieweg, "
            "Prins Hendrikkade, Wilhelminastraat, Burgemeester de Vlugtlaan, Nijverheidsweg, Oude Gracht, Marktplein"
        ),
        first_names=_list(
            "Anna, Bram, Daan, Emma, Femke, Gijs, Hanneke, Ivo, Joris, Karin, Lars, Maaike, Niels, Olga, "
            "Pieter, Roos, "
            "Sanne, Thijs, Willemijn, Yusuf, Zoë, Fleur, Mohammed, Renée"
        ),
        last_names=_list(
            "de Vries, Jansen, van den Berg, Bakker, Visser, Smit, Meijer, de Boer, Mulder, Bos, Vos, Peters, "
            "Hendriks, "
            "van Leeuwen, Dekker, Brouwer, de Wit, Dijkstra, Smits, van der Meer, Kuipers, Postma, Yildiz, Önder, "
            "in 't Veld, Kok, Scholten, Willems, Hoekstra, Koster, Prinsen, Verhoeven, Schipper, Post, Blom"
        ),
        trades=_list(
            "Installatiebedrijf {} B.V., Bouwbedrijf {} B.V., Timmerfabriek {} B.V., {} Techniek B.V., {} & Zn., "
            "Schildersbedrijf {}, Lunchroom {}, Hoveniersbedrijf {}, {} Interieur B.V., Garage {} B.V., Café {}, "
            "Camping {}, Fysiotherapie {}, {} Advies, Restaurant {}, Stichting {}, {} Metaal B.V., Drukkerij {} B.V."
        ),
        suppliers=_list(
            "{} Groothandel B.V., {} Gereedschappen B.V., {} Import B.V., Koffiebranderij {}, {} Logistiek B.V., "
            "{} Energie N.V., {} Telecom B.V., {} Kantoorartikelen B.V., Autobedrijf {}, {} Verzekeringen, "
            "{} Software B.V."
        ),
        jobs=_list("Directeur, Inkoper, Administrateur, Bedrijfsleider, Office manager, Eigenaar"),
        domain="example.nl", phone="+31 33 4",
    ),
    "BE": Place(
        towns=_towns(
            "Gent 9000, Antwerpen 2000, Brugge 8000, Leuven 3000, Mechelen 2800, Hasselt 3500, Kortrijk 8500, "
            "Aalst 9300, "
            "Oostende 8400, Sint-Niklaas 9100, Genk 3600, Roeselare 8800, Turnhout 2300, Liège 4000, "
            "Namur 5000, Mons 7000"
        ),
        streets=_list(
            "Veldstraat, Stationsstraat, Kouter, Brusselsesteenweg, Nieuwstraat, Grote Markt, Kapellelaan, "
            "Meersstraat, "
            "Koning Albertlaan, Rue de la Station, Rue Neuve, Vaartkaai, Molenstraat, Gentsesteenweg"
        ),
        first_names=_list(
            "Bart, Charlotte, Dirk, Elke, Griet, Hilde, Jef, Koen, Lies, Luc, Marie, Nele, Olivier, Pieter-Jan, "
            "Raf, Sofie, "
            "Tine, Wim, Amélie, Benoît, Chloé, François, Zoë"
        ),
        last_names=_list(
            "Peeters, Janssens, Maes, Jacobs, Mertens, Willems, Claes, Goossens, Wouters, De Smedt, Dubois, Lambert, "
            "Vandenbroucke, De Clercq, Desmet, Verhaeghe, Vermeulen, Van Damme, D'Hondt, Lefèvre, Coppens, Baert, "
            "De Backer, Michiels, Pauwels, Thys, Bogaert, Lemmens, Noël, Van den Bossche"
        ),
        trades=_list(
            "Brasserie {} BV, Hotel {} NV, Frituur {}, Traiteur {} BV, Bakkerij {} BV, Restaurant {} BV, Café {}, "
            "Woonzorgcentrum {} VZW, Feestzaal {} BV, Chocolaterie {}, Tearoom {}, School {} VZW, B&B {}, "
            "Slagerij {} BV"
        ),
        suppliers=_list(
            "{} Inox NV, Brouwerij {} NV, {} Keukentechniek BV, {} Koeltechniek BV, {} Transport NV, "
            "Drankenhandel {} BV, "
            "{} Telecom NV, {} Papier BV, Garage {} BV, {} Verzekeringen NV, {} Informatica BV"
        ),
        jobs=_list("Zaakvoerder, Aankoper, Boekhouder, Chef-kok, Gérant, Hoteldirecteur"),
        domain="example.be", phone="+32 9 2",
    ),
    "FR": Place(
        towns=_towns(
            "Paris 75011, Lyon 69002, Lille 59000, Nantes 44000, Bordeaux 33000, Toulouse 31000, Strasbourg 67000, "
            "Rennes 35000, Montpellier 34000, Grenoble 38000, Dijon 21000, Angers 49000, Nîmes 30000, Orléans 45000, "
            "Saint-Étienne 42000, Besançon 25000, Évreux 27000"
        ),
        streets=_list(
            "rue de la République, avenue Jean Jaurès, rue Victor Hugo, place de l'Église, boulevard Voltaire, "
            "rue du Moulin, "
            "rue des Écoles, quai de la Fosse, chemin des Vignes, impasse du Château, allée des Tilleuls, rue Pasteur"
        ),
        first_names=_list(
            "Amélie, Benoît, Camille, Damien, Élodie, Fabrice, Gaëlle, Hugo, Inès, Jérôme, Léa, Mathieu, "
            "Noémie, Océane, "
            "Pascal, Quentin, Raphaël, Sylvie, Théo, Valérie, Yann, Zoé"
        ),
        last_names=_list(
            "Martin, Bernard, Durand, Petit, Moreau, Lefebvre, Garcia, Roux, Fournier, Girard, Bonnet, Dupont, "
            "Lambert, "
            "Rousseau, Vincent, Muller, Lefèvre, Faure, André, Mercier, Guérin, Boyer, Chevalier, François, Legrand, "
            "Gauthier, Besançon, Müller, L'Hôte, Nguyễn"
        ),
        trades=_list(
            "Librairie {} SARL, Hôtel {} SAS, Boulangerie {}, Atelier {} SARL, Galerie {} SARL, {} Décoration SAS, "
            "Restaurant {} SARL, Architectes {} SCP, Café {}, Cabinet {} SELARL, Domaine {} SCEA, Mairie de {}, "
            "{} et Fils"
        ),
        suppliers=_list(
            "{} Luminaires SAS, Éditions {} SA, {} Électricité SARL, Torréfaction {}, Transports {} SAS, "
            "{} Télécom SA, "
            "Papeterie {} SARL, Garage {} SARL, {} Assurances SA, {} Informatique SAS, Imprimerie {} SARL"
        ),
        jobs=_list("Gérant, Acheteuse, Comptable, Directrice, Responsable magasin, Assistante"),
        domain="example.fr", phone="+33 4 72",
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Assortment:
    """A group of goods: its nouns with a price in cents, the variants, the VAT kind and the unit."""

    code: str
    name: str
    nouns: tuple[tuple[str, int], ...]
    variants: tuple[str, ...]
    vat: str
    unit: str
    unit_name: str


def _nouns(text: str) -> tuple[tuple[str, int], ...]:
    return tuple((noun.strip(), int(price)) for noun, price in (pair.rsplit(" ", 1) for pair in text.split(",")))


ASSORTMENTS = {
    "NL": (
        Assortment("001", "Gereedschap", _nouns(
            "Accuboormachine 18900, Schroevendraaier 895, Waterpas 2450, Hamer 1795, Zaagblad 1250, Ladder 14900, "
            "Werkbank 24900, Schroeven doos 649, RVS bout 14, Kabelhaspel 4995, Slijptol 9900, Klauwhamer 2195"),
            _list("12V, 18V, M8, M10, 250 mm, 400 mm, Pro, blauw, rood, set 6-delig, 2.5 m, RVS"), "high",
            "stuk", "Stuk"),
        Assortment("002", "Koffie en thee", _nouns(
            "Espressobonen 1450, Filterkoffie 895, Groene thee 475, Kruidenthee 425, Cacao 695, Rietsuiker 250"),
            _list("1 kg, 500 g, biologisch, fairtrade, doos 12 st., crème, décafé"), "low", "kg", "Kilogram"),
        Assortment("003", "Diensten", _nouns("Montage 6250, Advies 8500, Onderhoud 5875, Voorrijkosten 4500"),
                   _list("per uur, spoed, op locatie, avondtarief"), "high", "uur", "Uur")),
    "BE": (
        Assortment("010", "Horecamateriaal", _nouns(
            "Koksmes 4950, Kookpot 8900, Snijplank 2250, Koelkast 89900, Weegschaal 6400, Fornuis 189000, "
            "Bord wit 395, "
            "Wijnglas 285, Servetten 12, Gastronormbak 1890"),
            _list("GN 1/1, GN 1/2, 24 cm, 28 cm, inox, zwart, set van 6, 230 V, extra zwaar"), "high", "st", "Stuk"),
        Assortment("020", "Dranken en voeding", _nouns(
            "Frituurvet 2890, Bloem 1120, Koffie 1595, Appelsap 240, Chocoladedruppels 1890, Mosterd 465"),
            _list("10 L, 5 kg, bio, 1 L, doos 24 st., pur"), "low", "kg", "Kilogram"),
        Assortment("030", "Diensten", _nouns("Plaatsing 6500, Keuring 12500, Opleiding 9500, Herstelling 7200"),
                   _list("per uur, ter plaatse, weekend"), "high", "uur", "Uur")),
    "FR": (
        Assortment("LUM", "Luminaires", _nouns(
            "Applique 7900, Lampadaire 18900, Suspension 14500, Ampoule LED 690, Spot 2490, Guirlande 3450, "
            "Variateur 4290, Câble textile 18, Abat-jour 3900"),
            _list("laiton, noir mat, 40 cm, E27, E14, 2700 K, verre fumé, chêne, lot de 3"), "high", "pce", "Pièce"),
        Assortment("LIV", "Livres et cafés", _nouns(
            "Livre « Lumière d'été » 2450, Beau livre 3990, Café moulu 890, Café en grains 1690, Thé noir 740"),
            _list("250 g, 1 kg, édition reliée, bio, coffret"), "low", "pce", "Pièce"),
        Assortment("SRV", "Prestations", _nouns("Étude d'éclairage 9500, Pose 6200, Dépannage 7800, Livraison 4900"),
                   _list("à l'heure, sur site, forfait"), "middle", "h", "Heure")),
}  # fmt: skip
