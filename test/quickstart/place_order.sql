\set n random(1, 50)
SELECT shop.place('no. ' || nextval('shop.order_number'), 'customer ' || :n, 'book ' || :n, 1, 'post');
